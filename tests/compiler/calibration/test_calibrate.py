from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from graph_building import graph_of
from networks import classifier, conv_bn_relu

from intlower.compiler.calibration import Range, calibrate
from intlower.compiler.calibration.calibrate import NOISE_SAMPLES, noise_inputs
from intlower.compiler.calibration.from_samples import ranges_from_samples
from intlower.compiler.calibration.methods.select import Method
from intlower.compiler.errors import CalibrationError, CalibrationWarning
from intlower.compiler.graph import Graph
from intlower.compiler.importer import import_model
from intlower.compiler.operators import Conv, Relu
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.standard import STANDARD_PASSES


def plain() -> Graph:
    return graph_of(
        {"x": (None, 2, 4, 4)},
        [(Conv(), "x w", "a"), (Relu(), "a", "y")],
        "y",
        {"w": np.random.default_rng(0).normal(size=(3, 2, 2, 2))},
    )


def normalized() -> Graph:
    return run_passes(import_model(classifier()), STANDARD_PASSES)


def samples(count: int = 5) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return {"x": np.random.default_rng(1).normal(size=(count, 2, 4, 4)).astype(np.float32)}


def test_samples_decide_every_range() -> None:
    calibration = calibrate(plain(), samples=samples(), method=Method.PERCENTILE)
    assert calibration.summary == "5 samples, percentile"
    assert calibration.ranges == ranges_from_samples(
        plain(), samples(), Method.PERCENTILE, "samples (percentile)"
    )
    assert list(calibration.ranges) == list(plain().values)


def test_moments_need_no_data_and_give_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calibration = calibrate(normalized())
    assert set(calibration.ranges) == set(normalized().values)
    assert calibration.summary.startswith("batch-norm moments; input: first layer's moments")


@pytest.mark.parametrize("with_samples", [False, True])
def test_a_given_range_of_an_input_is_kept(with_samples: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        calibration = calibrate(
            plain(),
            samples=samples() if with_samples else None,
            input_ranges={"x": (-9.0, 4.0)},
        )
    assert calibration.ranges["x"] == Range(-9.0, 4.0, "given")


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("z", 0.0, 1.0),
        ("a", 0.0, 1.0),
        ("x", 1.0, 1.0),
        ("x", math.nan, 1.0),
        ("x", 0.0, math.inf),
    ],
)
def test_a_range_must_be_finite_ordered_and_of_an_input(
    name: str, low: float, high: float
) -> None:
    with pytest.raises(CalibrationError, match=name):
        calibrate(plain(), input_ranges={name: (low, high)})


def test_noise_stands_in_with_a_warning_and_is_seeded() -> None:
    with pytest.warns(CalibrationWarning, match=r"3 of 3 values .* 'x'") as caught:
        first = calibrate(plain(), seed=3)
    warning = caught[0].message
    assert isinstance(warning, CalibrationWarning)
    assert "--samples" in warning.hint
    with pytest.warns(CalibrationWarning):
        again, other = calibrate(plain(), seed=3), calibrate(plain(), seed=4)
    assert first == again
    assert first.ranges != other.ranges
    assert first.summary == "batch-norm moments, and random noise for 3 values"


def test_noise_fills_only_what_moments_do_not_reach() -> None:
    graph = run_passes(import_model(conv_bn_relu()), STANDARD_PASSES)
    known = calibrate(graph).ranges
    extended = graph_of(
        {"input": (None, 3, 8, 8), "extra": (None, 4)}, [(Relu(), "extra", "z")], "z"
    )
    joined = Graph(
        inputs=extended.inputs,
        outputs=(*graph.outputs, "z"),
        nodes=(*graph.nodes, *extended.nodes),
        constants=graph.constants,
        moments=graph.moments,
    )
    with pytest.warns(CalibrationWarning, match="2 of"):
        ranges = calibrate(joined).ranges
    assert {name: ranges[name] for name in known} == dict(known)
    assert ranges["z"].source == "random noise"


def test_noise_is_uniform_over_a_known_range_and_else_normal() -> None:
    graph = graph_of(
        {"x": (None, 500), "z": (2, 500)}, [(Relu(), "x", "a"), (Relu(), "z", "b")], "a b"
    )
    noise = noise_inputs(graph, {"x": Range(2.0, 4.0, "given")}, NOISE_SAMPLES, 0)
    assert noise["x"].shape == (NOISE_SAMPLES, 500)
    assert noise["z"].shape == (2, 500)
    assert 2.0 <= noise["x"].min() < 2.01
    assert 3.99 < noise["x"].max() <= 4.0
    assert noise["z"].std() == pytest.approx(1.0, abs=0.1)
    assert {array.dtype for array in noise.values()} == {np.dtype(np.float32)}
