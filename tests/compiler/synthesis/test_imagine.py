from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from graph_building import Step, graph_of, normalization
from onnx import TensorProto, helper, numpy_helper
from shared_data import evalsets, model_path, needs_shared_data

from intlower.compiler.constant import Constant
from intlower.compiler.errors import CalibrationError, CalibrationWarning
from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph, Value
from intlower.compiler.importer import import_model, read_model
from intlower.compiler.operators import (
    Add,
    Conv,
    Elementwise,
    Flatten,
    Function,
    Gemm,
    GlobalAveragePool,
    Relu,
    Softmax,
    Sub,
)
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.imagine_moments import ImagineMoments
from intlower.compiler.passes.standard import STANDARD_PASSES
from intlower.compiler.pipeline import compile_model
from intlower.compiler.synthesis.assumptions import assumptions
from intlower.compiler.synthesis.bending import GOAL
from intlower.compiler.synthesis.imagine import class_scores_of, imagine
from intlower.compiler.synthesis.observe import observed_moments


def network(scale: float = 1.0, batch: int | None = None) -> Graph:
    """A classifier without batch norm whose first layer expects pixels of about `scale`."""
    generator = np.random.default_rng(5)
    return graph_of(
        {"x": (batch, 3, 16, 16)},
        [
            (Conv(pads=(1, 1, 1, 1)), "x w1 b1", "a"),
            (Relu(), "a", "b"),
            (Conv(pads=(1, 1, 1, 1), strides=(2, 2)), "b w2 b2", "c"),
            (Relu(), "c", "d"),
            (GlobalAveragePool(), "d", "e"),
            (Flatten(), "e", "f"),
            (Gemm(), "f w3 b3", "g"),
            (Softmax(), "g", "y"),
        ],
        "y",
        {
            "w1": generator.normal(size=(8, 3, 3, 3)) / scale,
            "b1": generator.normal(size=8),
            "w2": generator.normal(size=(16, 8, 3, 3)),
            "b2": generator.normal(size=16),
            "w3": generator.normal(size=(10, 16)),
            "b3": generator.normal(size=10),
        },
    )


def test_moments_are_those_of_the_inputs() -> None:
    graph = network()
    x = np.random.default_rng(1).normal(size=(6, 3, 16, 16)).astype(np.float32)
    found = observed_moments(graph, {"x": x})
    assert set(found) == {"x", "a", "c", "e", "g"}
    values = evaluate(graph, {"x": x}, keep=("a", "e", "g")) | {"x": x}
    for name, value in values.items():
        channels = value.transpose(1, 0, *range(2, value.ndim)).reshape(value.shape[1], -1)
        np.testing.assert_allclose(found[name].mean.array, channels.mean(1), atol=1e-5)
        np.testing.assert_allclose(found[name].std.array, channels.std(1), rtol=1e-4)


def test_what_is_not_finite_has_no_moments() -> None:
    weights = np.ones((2, 3, 1, 1), np.float32)
    graph = graph_of(
        {"x": (None, 3, 2, 2)},
        [
            (Elementwise(function=Function.LOG), "x", "a"),
            (Conv(), "a w1", "b"),
            (Conv(), "x w2", "c"),
            (Add(), "b c", "y"),
        ],
        "y",
        {"w1": weights, "w2": weights},
    )
    x = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 2, 2)
    assert set(observed_moments(graph, {"x": x})) == {"x", "c"}


def test_what_never_varies_has_no_deviation() -> None:
    graph = network()
    dead = graph.constants["w1"].array.copy()
    dead[3] = 0.0
    found = observed_moments(
        graph.edit(constants={**graph.constants, "w1": Constant.of(dead, np.float32)}),
        {"x": np.random.default_rng(1).normal(1e3, 1, size=(6, 3, 16, 16)).astype(np.float32)},
    )
    assert found["a"].std.array[3] == 0.0
    assert found["x"].std.array == pytest.approx(1.0, rel=0.05)


def test_sums_of_what_hangs_together_are_seen_together() -> None:
    shapes = {"x": (None, 3, 8, 8)}
    steps: list[Step] = [(Relu(), "x", "r"), (Sub(), "r x", "d"), (Add(), "r r", "s")]
    graph = graph_of(shapes, steps, "d s", {})
    x = np.random.default_rng(2).normal(size=(4, 3, 8, 8)).astype(np.float32)
    found = observed_moments(graph, {"x": x})
    positive = np.maximum(x, 0)
    for name, value in (("d", positive - x), ("s", 2 * positive)):
        assert found[name].std.array == pytest.approx(value.std(axis=(0, 2, 3)), rel=1e-4)


@pytest.mark.parametrize(("scale", "reach"), [(1.0, 10.0), (255.0, 300.0)])
def test_the_size_of_pixels_is_read_off_the_network(scale: float, reach: float) -> None:
    found = imagine(network(scale), seed=0).ranges["x"]
    assert reach / 10 < found.maximum < reach


def test_a_given_range_is_the_box() -> None:
    found = imagine(network(), seed=0, input_ranges={"x": (0.0, 1.0)})
    assert found.inputs["x"].min() >= 0
    assert found.inputs["x"].max() <= 1
    assert "pixels in [0, 1]" in found.summary


def test_classes_are_found_and_seen() -> None:
    graph = network()
    assert class_scores_of(graph) == "g"
    made = imagine(graph, seed=0)
    (seen,) = evaluate(graph, made.inputs).values()
    assert (seen.max(axis=1) >= GOAL).mean() > 0.5
    np.testing.assert_array_equal(made.inputs["x"], imagine(graph, seed=0).inputs["x"])
    assert not np.array_equal(made.inputs["x"], imagine(graph, seed=1).inputs["x"])


def test_a_fixed_batch_is_kept() -> None:
    graph = network(batch=5)
    assert len(imagine(graph, seed=0).inputs["x"]) % 5 == 0


@pytest.mark.parametrize("shape", [(None, 1, 49, 10), (None, 12), (None, 7, 9), (2, 5, 4, 4)])
def test_inputs_that_are_no_images_may_be_numbers(shape: tuple[int | None, ...]) -> None:
    found = assumptions(Value(name="x", shape=shape), None)
    assert any(not one.pixels for one in found)
    assert not found[0].rare


def test_a_described_network_is_left_alone() -> None:
    generator = np.random.default_rng(0)
    norm, names, constants = normalization(generator, "n", 4)
    graph = graph_of(
        {"x": (None, 3, 8, 8)},
        [(Conv(), "x w", "a"), (norm, f"a {names}", "y")],
        "y",
        constants | {"w": generator.normal(size=(4, 3, 3, 3))},
    )
    folded = run_passes(graph, STANDARD_PASSES)
    assert not ImagineMoments().applies(folded)
    assert ImagineMoments()(folded) == folded
    bare = folded.edit(moments={})
    assert ImagineMoments().applies(bare)
    assert set(ImagineMoments()(bare).moments) == {"x", "y"}


def test_the_user_is_told_and_strict_recipes_refuse(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Conv", ["x", "w"], ["y"])],
            "bare",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 6, 6])],
            [numpy_helper.from_array(weights, "w")],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    path = tmp_path / "bare.onnx"
    onnx.save(model, path)
    with pytest.warns(CalibrationWarning, match="holds no batch-norm statistics.*generated"):
        program = compile_model(path, target="snpe")
    assert "generated inputs" in program.origin.calibration
    with pytest.raises(CalibrationError):
        compile_model(path, target="snpe", recipe="data-free-strict")
    samples = {"x": np.random.default_rng(1).normal(size=(4, 3, 8, 8)).astype(np.float32)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compile_model(
            path, target="snpe", samples=samples
        ).origin.calibration.startswith("4 samples")


@needs_shared_data
@pytest.mark.parametrize("name", ["cifar10_resnet20", "mlperf_ic_resnet8"])
def test_a_real_network_without_its_statistics_keeps_its_moments(name: str) -> None:
    graph = run_passes(import_model(read_model(model_path(name))[0]), STANDARD_PASSES)
    imagined = ImagineMoments()(graph.edit(moments={}))
    errors = []
    for key, recorded in graph.moments.items():
        mean, std = recorded.mean.array, np.maximum(recorded.std.array, 1e-6)
        errors.append(np.median(np.abs(imagined.moments[key].mean.array - mean) / std))
    assert np.mean(errors) < 0.8  # deviations; inputs of a wrong size are 3 and more off
    samples, _ = evalsets().load(name, 1)
    (box,) = imagine(graph.edit(moments={}), seed=0).ranges.values()
    assert box.minimum <= samples.min() + 1
    assert samples.max() <= box.maximum + 1


def test_features_of_which_one_stands_out_are_told_apart_by_folded_weights() -> None:
    generator = np.random.default_rng(3)
    spread = np.array([20.0, *np.ones(9)])
    x = (generator.normal(size=(64, 1, 24, 10)) * spread).astype(np.float32)
    weights = generator.normal(size=(64, 1, 5, 4))
    step: Step = (Conv(strides=(2, 2), pads=(2, 1, 2, 1)), "x w b", "a")
    shapes = {"x": (None, 1, 24, 10)}
    plain = graph_of(shapes, [step], "a", {"w": weights, "b": np.zeros(64)})
    seen = observed_moments(plain, {"x": x})["a"]
    mean, std = seen.mean.array, seen.std.array
    constants = {"w": weights / std[:, None, None, None], "b": -mean / std}
    folded = graph_of(shapes, [step, (Relu(), "a", "y")], "y", constants)
    found = imagine(folded, seed=0)
    columns = found.inputs["x"].std(axis=(0, 1, 2))
    assert columns[0] == pytest.approx(
        20.0, rel=0.4
    )  # the noise of one is red: its spread varies
    assert columns[1:].max() < 4.0
    assert 50 < found.ranges["x"].maximum < 100
