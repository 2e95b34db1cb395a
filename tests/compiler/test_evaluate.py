"""The float evaluator: against onnxruntime on whole networks, and its own promises."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence

import networks
import numpy as np
import onnx
import pytest
import torch
from shared_data import FOLDER, model_path, needs_shared_data

from intlower.compiler.constant import Constant
from intlower.compiler.errors import DataError
from intlower.compiler.evaluate import apply_operator, constant_tensors, evaluate, forward
from intlower.compiler.evaluate import run as evaluate_module
from intlower.compiler.graph import Graph, Node, Value
from intlower.compiler.importer import import_model, read_model
from intlower.compiler.operators import AnyOperator, Clip, Conv, Flatten, Identity, Relu

NETWORKS: tuple[Callable[..., onnx.ModelProto], ...] = (
    networks.conv_bn_relu,
    networks.depthwise_separable,
    networks.residual_block,
    networks.classifier,
    networks.concat_network,
    networks.slice_pad_shortcut,
)
REAL_NETWORKS = (
    "cifar10_resnet20",
    "cifar10_resnet20_slicepad",
    "mlperf_ad_fc_autoencoder",
    "mlperf_ic_resnet8",
    "mlperf_kws_ds_cnn",
    "mobilenet_v1_025_imagenet",
    "mobilenet_v2_imagenet",
)


@pytest.mark.crosscheck
@pytest.mark.parametrize("opset", [9, 11, 13, 17, 19])
@pytest.mark.parametrize("network", NETWORKS)
def test_networks_evaluate_as_in_onnxruntime(
    network: Callable[..., onnx.ModelProto], opset: int
) -> None:
    networks.assert_evaluates_as_in_onnxruntime(network(opset=opset))


@needs_shared_data
@pytest.mark.crosscheck
@pytest.mark.parametrize("name", REAL_NETWORKS)
def test_real_networks_evaluate_as_in_onnxruntime(name: str) -> None:
    model, _ = read_model(model_path(name))
    networks.assert_evaluates_as_in_onnxruntime(model, networks.random_inputs(model, batch=1))


@needs_shared_data
def test_every_real_network_is_tested_or_refused() -> None:
    names = {path.stem for path in (FOLDER / "models").glob("*.onnx")}
    assert names == {*REAL_NETWORKS, "ppocr_mobile_v2_cls"}


def classifier() -> Graph:
    return import_model(networks.classifier())


def images(samples: int) -> dict[str, np.ndarray]:
    return networks.random_inputs(networks.classifier(), batch=samples)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_chunks_give_the_same_samples_in_order(batch_size: int) -> None:
    graph, inputs = classifier(), images(5)
    (expected,) = evaluate(graph, inputs).values()
    (actual,) = evaluate(graph, inputs, batch_size=batch_size).values()
    # Not bit-equal: the order of a convolution's sums may depend on the batch.
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_keep_returns_the_named_values_and_nothing_else() -> None:
    graph, inputs = classifier(), images(3)
    names = ["input", graph.nodes[2].output, graph.nodes[-2].output]
    kept = evaluate(graph, inputs, keep=names, batch_size=2)
    assert set(kept) == set(names)
    for name in names:
        assert kept[name].dtype == np.float32
        assert kept[name].shape == (3, *graph.values[name].shape[1:])
    assert np.array_equal(kept["input"], inputs["input"])


def test_kept_values_are_those_after_the_activation() -> None:
    graph = Graph(
        inputs=(Value(name="x", shape=(None, 2)),),
        outputs=("y",),
        nodes=(
            Node(name="y", operator=Identity(), inputs=("x",), output="y", activation=Relu()),
        ),
        constants={},
    )
    x = np.array([[-1, 2]], np.float32)
    assert np.array_equal(evaluate(graph, {"x": x})["y"], [[0, 2]])
    clipped = graph.edit(
        nodes=[
            Node(
                name="y",
                operator=Identity(),
                inputs=("x",),
                output="y",
                activation=Clip(minimum=-0.5, maximum=1.5),
            )
        ]
    )
    assert np.array_equal(evaluate(clipped, {"x": x}, keep=["y"])["y"], [[-0.5, 1.5]])


def test_results_do_not_share_memory_with_the_inputs() -> None:
    graph = import_model(_identity_model())
    x = np.zeros((2, 3), np.float32)
    (y,) = evaluate(graph, {"x": x}).values()
    y += 1
    assert not x.any()


def _identity_model() -> onnx.ModelProto:
    builder = networks.NetworkBuilder()
    return builder.model({"x": ["N", 3]}, builder.node("Identity", "x"))


def test_one_number_without_axes_stays_one() -> None:
    builder = networks.NetworkBuilder()
    model = builder.model({"x": []}, builder.node("Abs", "x"))
    (y,) = evaluate(import_model(model), {"x": np.array(-2.0, np.float32)}).values()
    assert y.shape == ()
    assert y == 2


def test_inputs_may_be_read_only_and_in_any_memory_order() -> None:
    graph, inputs = classifier(), images(2)
    (expected,) = evaluate(graph, inputs).values()
    strange = np.asfortranarray(inputs["input"][::-1])[::-1]
    strange.flags.writeable = False
    (actual,) = evaluate(graph, {"input": strange}).values()
    assert np.array_equal(actual, expected)


def test_values_are_released_after_their_last_use(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = networks.NetworkBuilder()
    x = "x"
    for _ in range(5):
        x = builder.relu(x)
    graph = import_model(builder.model({"x": ["N", 3]}, x))
    results: list[weakref.ref[torch.Tensor]] = []

    def observed(operator: AnyOperator, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        assert sum(result() is not None for result in results) <= 1  # the operand
        result = apply_operator(operator, inputs)
        results.append(weakref.ref(result))
        return result

    monkeypatch.setattr(evaluate_module, "apply_operator", observed)
    evaluate(graph, {"x": np.ones((2, 3), np.float32)})
    assert len(results) == 5


def test_a_fixed_batch_is_evaluated_whole() -> None:
    model = networks.conv_bn_relu(batch=3)
    inputs = networks.random_inputs(model)
    graph = import_model(model)
    (y,) = evaluate(graph, inputs, batch_size=1).values()
    assert y.shape == (3, 8, 8, 8)


def test_float64_is_followed_throughout() -> None:
    graph, inputs = classifier(), images(2)
    tensors = {name: torch.tensor(array, dtype=torch.float64) for name, array in inputs.items()}
    (exact,) = forward(graph, tensors).values()
    assert exact.dtype == torch.float64
    (single,) = evaluate(graph, inputs).values()
    np.testing.assert_allclose(single, exact.numpy(), rtol=1e-4, atol=1e-6)


def test_forward_differentiates_inputs_and_parameters() -> None:
    graph = import_model(networks.residual_block(channels=2, size=4))
    parameters = constant_tensors(graph, torch.float64)
    names = [name for name, tensor in parameters.items() if tensor.dim() == 4]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64, generator=generator, requires_grad=True)

    def function(x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        replaced = parameters | dict(zip(names, weights, strict=True))
        (y,) = forward(graph, {"input": x}, None, replaced).values()
        return y

    weights = [parameters[name].requires_grad_() for name in names]
    assert torch.autograd.gradcheck(function, (x, *weights), fast_mode=True)


def test_given_parameters_take_the_place_of_constants() -> None:
    constants = {"w": Constant.of(np.ones((1, 1, 1, 1)), np.float32)}
    graph = Graph(
        inputs=(Value(name="x", shape=(None, 1, 2, 2)),),
        outputs=("f",),
        nodes=(
            Node(name="c", operator=Conv(), inputs=("x", "w"), output="y"),
            Node(name="f", operator=Flatten(), inputs=("y",), output="f"),
        ),
        constants=constants,
    )
    x = torch.ones(1, 1, 2, 2)
    doubled = forward(graph, {"x": x}, None, {"w": torch.full((1, 1, 1, 1), 2.0)})
    assert doubled["f"].tolist() == [[2, 2, 2, 2]]
    assert forward(graph, {"x": x})["f"].tolist() == [[1, 1, 1, 1]]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "'input' is not given"),
        ({"input": np.zeros((1, 3, 8, 8), np.float32), "labels": np.zeros(1)}, "'labels'"),
        ({"input": np.zeros((1, 3, 8, 9), np.float32)}, r"\[1, 3, 8, 9\], not \[N, 3, 8, 8\]"),
        ({"input": np.zeros((3, 8, 8), np.float32)}, r"\[3, 8, 8\], not \[N, 3, 8, 8\]"),
        ({"input": np.zeros((0, 3, 8, 8), np.float32)}, r"\[0, 3, 8, 8\], not"),
        ({"input": np.zeros((1, 3, 8, 8), np.uint8)}, "'input' is uint8, not float32"),
        ({"input": np.zeros((1, 3, 8, 8))}, "'input' is float64, not float32"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_by_name(
    inputs: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        evaluate(classifier(), inputs)


def test_inputs_share_one_batch() -> None:
    builder = networks.NetworkBuilder()
    model = builder.model({"a": ["N", 3], "b": ["N", 3]}, builder.node("Add", "a", "b"))
    arrays = {"a": np.zeros((2, 3), np.float32), "b": np.zeros((1, 3), np.float32)}
    with pytest.raises(DataError, match="2 of 'a' and 1 of 'b'"):
        evaluate(import_model(model), arrays)


def test_names_that_the_graph_does_not_have_are_refused() -> None:
    graph, inputs = classifier(), images(1)
    with pytest.raises(ValueError, match="'nowhere'"):
        evaluate(graph, inputs, keep=["nowhere"])
    tensors = {"input": torch.tensor(inputs["input"])}
    with pytest.raises(ValueError, match="'nowhere'"):
        forward(graph, tensors, None, {"nowhere": torch.zeros(1)})
    with pytest.raises(ValueError, match="batch_size"):
        evaluate(graph, inputs, batch_size=0)
