from __future__ import annotations

import pytest
import torch
from graph_building import graph_of
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.graph import Graph
from intlower.compiler.operators import Conv, Flatten, Gemm, Relu, Softmax
from intlower.compiler.synthesis.teacher import (
    batch_statistics,
    classifier_output,
    cut,
    resized,
    roughness,
)


@given(
    shape=st.one_of(
        st.tuples(st.integers(2, 4), st.integers(1, 3)),
        st.tuples(*[st.integers(2, 4)] * 4),
    ),
    offset=st.floats(-3, 3),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=20)
def test_statistics_and_their_derivatives_are_those_of_torch(
    shape: tuple[int, ...], offset: float, seed: int
) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = (x + offset).requires_grad_()
    axes = (0, *range(2, len(shape)))
    passed, mean, std = batch_statistics(x, torch.zeros(shape[1], dtype=torch.float64))
    variance, expected = torch.var_mean(x, axes, correction=0)
    assert torch.equal(passed, x)
    assert torch.allclose(mean, expected)
    assert torch.allclose(std, variance.sqrt(), rtol=1e-6)

    weight = torch.arange(1.0, shape[1] + 1, dtype=torch.float64)
    ours = (passed.sin().sum() + (weight * mean * std).sum(),)
    theirs = (x.sin().sum() + (weight * expected * variance.sqrt()).sum(),)
    (derivative,) = torch.autograd.grad(ours, x)
    (reference,) = torch.autograd.grad(theirs, x)
    assert torch.allclose(derivative, reference, rtol=1e-6, atol=1e-9)


def test_a_constant_channel_has_a_finite_derivative() -> None:
    x = torch.ones((2, 1, 3, 3), requires_grad=True)
    _, _, std = batch_statistics(x, torch.tensor([1e-4]))
    (derivative,) = torch.autograd.grad(std.sum(), x)
    assert std.tolist() == pytest.approx([1e-4])
    assert torch.isfinite(derivative).all()


def test_noise_is_rougher_than_slopes_and_what_is_no_image_is_not() -> None:
    noise = torch.randn((4, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    assert float(roughness(noise)) == pytest.approx(2.0, rel=0.1)  # neighbours are independent
    slopes = torch.arange(16.0).repeat(4, 3, 16, 1)
    assert float(roughness(slopes)) < 0.1
    assert float(roughness(torch.ones((2, 3)))) == 0.0
    assert float(roughness(torch.ones((2, 3, 1, 1)))) == 0.0


def classifier(last: str = "p") -> Graph:
    return graph_of(
        {"x": (None, 2, 4, 4)},
        [
            (Conv(), "x w", "c"),
            (Relu(), "c", "r"),
            (Flatten(), "r", "f"),
            (Gemm(), "f v", "g"),
            (Softmax(), "g", "p"),
        ],
        last,
        {"w": torch.ones((1, 2, 1, 1)).numpy(), "v": torch.ones((3, 16)).numpy()},
    )


@pytest.mark.parametrize(("last", "logits"), [("p", "g"), ("g", "g"), ("c", None), ("x", None)])
def test_the_logits_of_a_classifier_are_found(last: str, logits: str | None) -> None:
    assert classifier_output(classifier(last)) == logits


def test_a_reconstruction_is_no_classifier() -> None:
    graph = graph_of({"x": (None, 4)}, [(Gemm(), "x w", "y")], "y", {"w": torch.eye(4).numpy()})
    assert classifier_output(graph) is None


def test_a_cut_keeps_what_its_outputs_need() -> None:
    trunk = cut(classifier(), ("r",))
    assert [node.output for node in trunk.nodes] == ["c", "r"]
    assert set(trunk.constants) == {"w"}
    assert trunk.inputs[0].shape == (None, 2, 4, 4)


def test_a_trunk_takes_another_size_where_its_layers_do() -> None:
    assert resized(cut(classifier(), ("r",)), 2, 6).values["r"].shape == (None, 1, 2, 6)
    with pytest.raises(InvalidGraph):
        resized(classifier(), 2, 2)
