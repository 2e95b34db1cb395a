"""Small ONNX models with seeded random weights, and what onnxruntime makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import ArrayLike, NDArray
from onnx import helper, numpy_helper

from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph
from intlower.compiler.importer import import_model

Dimensions = Sequence[int | str | None]


class NetworkBuilder:
    """An ONNX graph under construction; `x` names a value in every method.

    Weights are scaled so that activations keep about unit variance.
    """

    def __init__(self, *, opset: int = 17, seed: int = 0) -> None:
        self.opset = opset
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def node(
        self, operator: str, *inputs: str, name: str | None = None, **attributes: Any
    ) -> str:
        """Append a node with one output, and return the output's name."""
        name = f"{operator.lower()}_{len(self.nodes)}" if name is None else name
        output = f"{name}_out"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=name, **attributes))
        return output

    def constant(self, values: ArrayLike, dtype: Any = np.float32) -> str:
        """Add an initializer, and return its name."""
        name = f"constant_{len(self.initializers)}"
        array = np.asarray(values, dtype)
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def integers(self, *values: int) -> str:
        """Add a list of int64."""
        return self.constant(values, np.int64)

    def normal(self, *shape: int, scale: float = 1.0) -> str:
        """Add normally distributed values."""
        return self.constant(self.random.standard_normal(shape) * scale)

    def conv(
        self,
        x: str,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        *,
        bias: bool = True,
        **attributes: Any,
    ) -> str:
        """Append a Conv; attributes are ONNX's."""
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        fan_in = inputs // int(attributes.get("group", 1))
        weights = self.normal(
            outputs, fan_in, height, width, scale=(fan_in * height * width) ** -0.5
        )
        biases = [self.normal(outputs, scale=0.1)] if bias else []
        return self.node("Conv", x, weights, *biases, **attributes)

    def batch_norm(self, x: str, channels: int) -> str:
        """Append a BatchNormalization."""
        parameters = (
            self.constant(self.random.uniform(0.5, 1.5, channels)),
            self.normal(channels, scale=0.3),
            self.normal(channels, scale=0.3),
            self.constant(self.random.uniform(0.5, 2.0, channels)),
        )
        return self.node("BatchNormalization", x, *parameters)

    def relu(self, x: str) -> str:
        """Append a Relu."""
        return self.node("Relu", x)

    def clip(self, x: str, low: float, high: float) -> str:
        """Append a Clip, in the form of the opset."""
        if self.opset < 11:
            return self.node("Clip", x, min=low, max=high)
        return self.node("Clip", x, self.constant(low), self.constant(high))

    def slice(
        self,
        x: str,
        starts: Sequence[int],
        ends: Sequence[int],
        axes: Sequence[int],
        steps: Sequence[int] | None = None,
    ) -> str:
        """Append a Slice, in the form of the opset (before 10 there are no steps)."""
        if self.opset < 10:
            return self.node("Slice", x, starts=starts, ends=ends, axes=axes)
        lists = (starts, ends, axes) if steps is None else (starts, ends, axes, steps)
        return self.node("Slice", x, *(self.integers(*values) for values in lists))

    def pad(self, x: str, pads: Sequence[int], value: float = 0.0) -> str:
        """Append a Pad, in the form of the opset."""
        if self.opset < 11:
            return self.node("Pad", x, pads=pads, value=value)
        return self.node("Pad", x, self.integers(*pads), self.constant(value))

    def gemm(self, x: str, inputs: int, outputs: int) -> str:
        """Append a Gemm with its weights as PyTorch has them, [O, I]."""
        weights = self.normal(outputs, inputs, scale=inputs**-0.5)
        return self.node("Gemm", x, weights, self.normal(outputs, scale=0.1), transB=1)

    def model(
        self,
        inputs: Mapping[str, Dimensions],
        *outputs: str,
        functions: Sequence[onnx.FunctionProto] = (),
        domains: Sequence[str] = (),
    ) -> onnx.ModelProto:
        """Return the model, with float32 inputs of these shapes and the named outputs."""
        graph = helper.make_graph(
            self.nodes,
            "network",
            [
                helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
                for name, shape in inputs.items()
            ],
            [
                helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
                for name in outputs
            ],
            self.initializers,
        )
        # The oldest IR that every opset here allows: old runtimes can read it too.
        model = helper.make_model(
            graph,
            functions=functions,
            opset_imports=[
                helper.make_opsetid("", self.opset),
                *(helper.make_opsetid(domain, 1) for domain in domains),
            ],
            ir_version=8,
        )
        model = onnx.shape_inference.infer_shapes(model)  # the checker wants shapes of outputs
        for info in model.graph.output:
            if not info.type.tensor_type.HasField("shape"):
                info.type.tensor_type.shape.dim.add()
        del model.graph.value_info[:]
        return model


def conv_bn_relu(
    *, channels: int = 8, size: int = 8, opset: int = 17, seed: int = 0, batch: int | str = "N"
) -> onnx.ModelProto:
    """Input [N, 3, size, size]; Conv 3x3, BatchNormalization, Relu."""
    b = NetworkBuilder(opset=opset, seed=seed)
    x = b.conv("input", 3, channels, 3, pads=[1, 1, 1, 1], bias=False)
    return b.model({"input": [batch, 3, size, size]}, b.relu(b.batch_norm(x, channels)))


def depthwise_separable(
    *, channels: int = 8, size: int = 8, opset: int = 17, seed: int = 0, stride: int = 1
) -> onnx.ModelProto:
    """Input [N, channels, size, size]; depthwise 3x3 and 1x1 to 2*channels, each with BN and Clip 0..6."""
    b = NetworkBuilder(opset=opset, seed=seed)
    x = b.conv(
        "input",
        channels,
        channels,
        3,
        group=channels,
        pads=[1, 1, 1, 1],
        strides=[stride, stride],
        bias=False,
    )
    x = b.clip(b.batch_norm(x, channels), 0.0, 6.0)
    x = b.conv(x, channels, 2 * channels, 1, bias=False)
    x = b.clip(b.batch_norm(x, 2 * channels), 0.0, 6.0)
    return b.model({"input": ["N", channels, size, size]}, x)


def residual_block(
    *, channels: int = 8, size: int = 8, opset: int = 17, seed: int = 0
) -> onnx.ModelProto:
    """Input [N, channels, size, size]; two 3x3 convolutions beside a 1x1 one, Add, Relu."""
    b = NetworkBuilder(opset=opset, seed=seed)
    x = b.conv("input", channels, channels, 3, pads=[1, 1, 1, 1], strides=[2, 2], bias=False)
    x = b.relu(b.batch_norm(x, channels))
    x = b.batch_norm(b.conv(x, channels, channels, 3, pads=[1, 1, 1, 1]), channels)
    shortcut = b.conv("input", channels, channels, 1, strides=[2, 2])
    shortcut = b.batch_norm(shortcut, channels)
    return b.model({"input": ["N", channels, size, size]}, b.relu(b.node("Add", x, shortcut)))


def classifier(
    *,
    channels: int = 8,
    classes: int = 5,
    size: int = 8,
    opset: int = 17,
    seed: int = 0,
    softmax: bool = True,
) -> onnx.ModelProto:
    """Input [N, 3, size, size]; Conv, BN, Relu, MaxPool, Conv, Relu, GlobalAveragePool, Flatten, Gemm, Softmax."""
    b = NetworkBuilder(opset=opset, seed=seed)
    x = b.conv("input", 3, channels, 3, pads=[1, 1, 1, 1], bias=False)
    x = b.relu(b.batch_norm(x, channels))
    x = b.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = b.relu(b.conv(x, channels, 2 * channels, 3, pads=[1, 1, 1, 1]))
    x = b.node("Flatten", b.node("GlobalAveragePool", x))
    x = b.gemm(x, 2 * channels, classes)
    x = b.node("Softmax", x, axis=1) if softmax else x
    return b.model({"input": ["N", 3, size, size]}, x)


def concat_network(
    *, channels: int = 8, size: int = 8, opset: int = 17, seed: int = 0
) -> onnx.ModelProto:
    """Input [N, channels, size, size]; a 1x1 branch, a 3x3 branch and an average, joined and mixed."""
    b = NetworkBuilder(opset=opset, seed=seed)
    branches = (
        b.relu(b.conv("input", channels, channels, 1)),
        b.relu(b.conv("input", channels, 2 * channels, 3, pads=[1, 1, 1, 1])),
        b.node("AveragePool", "input", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    )
    x = b.node("Concat", *branches, axis=1)
    return b.model({"input": ["N", channels, size, size]}, b.conv(x, 4 * channels, channels, 1))


def slice_pad_shortcut(
    *, channels: int = 8, size: int = 8, opset: int = 17, seed: int = 0
) -> onnx.ModelProto:
    """Input [N, channels, size, size]; a strided residual block whose shortcut is Slice and Pad (ResNet option A)."""
    b = NetworkBuilder(opset=opset, seed=seed)
    x = b.relu(b.conv("input", channels, 2 * channels, 3, pads=[1, 1, 1, 1]))
    x = b.node("MaxPool", x, kernel_shape=[1, 1], strides=[2, 2])
    if opset < 10:  # Slice has no steps yet
        shortcut = b.slice("input", [0, 0], [size // 2, size // 2], [2, 3])
    else:
        shortcut = b.slice("input", [0, 0], [size, 1 << 62], [2, 3], [2, 2])
    before = channels // 2
    shortcut = b.pad(shortcut, [0, before, 0, 0, 0, channels - before, 0, 0])
    return b.model({"input": ["N", channels, size, size]}, b.relu(b.node("Add", x, shortcut)))


def random_inputs(
    model: onnx.ModelProto, *, batch: int = 2, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Return normal values for each input of a model, `batch` samples where the batch is free."""
    random = np.random.default_rng(seed)
    initializers = {tensor.name for tensor in model.graph.initializer}
    return {
        info.name: random.standard_normal(
            [d.dim_value or batch for d in info.type.tensor_type.shape.dim], np.float32
        )
        for info in model.graph.input
        if info.name not in initializers
    }


def onnxruntime_outputs(
    model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Return what onnxruntime computes for every output, without its graph optimizations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def assert_evaluates_as_in_onnxruntime(
    model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]] | None = None
) -> Graph:
    """Import a model, compare its outputs on random inputs with onnxruntime's, and return the graph."""
    graph = import_model(model)
    inputs = random_inputs(model) if inputs is None else inputs
    expected = onnxruntime_outputs(model, inputs)
    actual = evaluate(graph, {name: np.asarray(x, np.float32) for name, x in inputs.items()})
    assert set(actual) == set(expected)
    for name, array in actual.items():
        assert array.shape == expected[name].shape
        assert array.shape[1:] == graph.values[name].shape[1:]
        # Both sum in float32, in different orders: errors are a few units of the largest term.
        largest = max(1.0, float(np.abs(expected[name]).max()))
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-5 * largest)
    return graph
