from __future__ import annotations

import numpy as np
import pytest
from networks_with_statistics import SAME, NetworkWithStatistics, pictures, small_classifier

from intlower.compiler.errors import CalibrationError
from intlower.compiler.graph import Graph
from intlower.compiler.operators import Conv, Flatten, Gemm, Relu
from intlower.compiler.synthesis.lesson import teacher_for
from intlower.compiler.synthesis.school import found_school


def autoencoder(size: int = 12) -> Graph:
    network = NetworkWithStatistics((None, size))
    hidden = network.add(Gemm(), "x", (16, size), Relu())
    network.add(Gemm(), hidden, (size, 16))
    inputs = np.random.default_rng(0).normal(1.0, 2.0, (64, size)).astype(np.float32)
    return network.graph(inputs)


def convolutions(height: int, width: int) -> Graph:
    network = NetworkWithStatistics((None, 3, height, width))
    first = network.add(Conv(pads=SAME, strides=(4, 4)), "x", (6, 3, 3, 3), Relu())
    network.add(Conv(), first, (4, 6, 1, 1))
    return network.graph(pictures(8, 3, height, width))


def spectrogram() -> Graph:
    network = NetworkWithStatistics((None, 1, 49, 10))
    first = network.add(Conv(), "x", (6, 1, 3, 3), Relu())
    network.add(Conv(), first, (4, 6, 1, 1))
    return network.graph(90 * pictures(8, 1, 49, 10) - 60)


def needs_its_size() -> Graph:
    network = NetworkWithStatistics((None, 3, 16, 16))
    first = network.add(Conv(strides=(4, 4)), "x", (4, 3, 4, 4), Relu())
    hidden = network.add(Gemm(), network.add(Flatten(), first), (6, 64), Relu())
    network.add(Gemm(), hidden, (2, 6))
    return network.graph(pictures(32, 3, 16, 16))


def test_a_canvas_is_as_large_as_the_largest_and_halves_for_all() -> None:
    school = found_school(
        {
            "wide": convolutions(130, 192),
            "high": convolutions(160, 64),
            "fixed": needs_its_size(),
        }
    )
    small, full = school.terms
    assert full.shape == (3, 160, 192)
    assert full.sizes == ((130, 192), (160, 64), (16, 16))
    assert small.shape == (3, 64, 96)
    assert small.sizes == ((52, 96), (64, 32), None)  # the last sits out
    assert school.canvas.mean.shape == (3, 1, 1)


def test_small_images_have_one_term() -> None:
    school = found_school({"a": small_classifier(), "b": small_classifier(height=24)})
    (term,) = school.terms
    assert term.shape == (3, 24, 16)


def test_the_canvas_of_a_school_may_be_given() -> None:
    school = found_school({"a": small_classifier()}, shape=(3, 40, 48))
    assert school.terms[0].shape == (3, 40, 48)
    assert school.terms[0].sizes == ((16, 16),)


@pytest.mark.parametrize(
    ("others", "described"),
    [
        (autoencoder(), "numbers of 12"),
        (spectrogram(), "numbers of 1x49x10"),
    ],
)
def test_models_with_nothing_in_common_are_refused_in_one_line(
    others: Graph, described: str
) -> None:
    with pytest.raises(CalibrationError, match="no inputs in common") as raised:
        found_school({"photos": small_classifier(), "other": others})
    assert str(raised.value) == (
        "the models have no inputs in common: photos takes images of 3x16x16, "
        f"other takes {described}"
    )


def test_numbers_of_one_shape_share_a_canvas() -> None:
    school = found_school({"a": autoencoder(), "b": autoencoder()})
    assert school.terms[0].shape == (12,)
    assert not school.canvas.is_image
    with pytest.raises(CalibrationError, match="a takes numbers of 12, b takes numbers of 13"):
        found_school({"a": autoencoder(), "b": autoencoder(13)})


def test_a_model_without_statistics_is_named() -> None:
    network = NetworkWithStatistics((None, 3, 8, 8))
    network.add(Conv(), "x", (4, 3, 3, 3), Relu())
    with pytest.raises(CalibrationError, match=r"^plain: .*no layer has batch-norm") as raised:
        found_school({"a": small_classifier(), "plain": network.graph(None)})
    assert "batch normalization kept" in raised.value.hint


def test_a_teacher_at_another_size_keeps_its_classifier_where_that_takes_it() -> None:
    assert teacher_for(small_classifier(), (8, 8)).logits is not None
    graph = small_classifier()
    assert teacher_for(graph, (16, 16)).graph.inputs[0].shape == (None, 3, 16, 16)
