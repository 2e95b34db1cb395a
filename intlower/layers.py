"""Layers that benchmarks name: programs of one convolution, in the shapes of well-known networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from intlower.compiler.constant import Constant
from intlower.compiler.grids import UniformGrid
from intlower.compiler.program import Instruction, IntegerProgram, Origin, Tensor
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import ElementType, KernelKey, Requantize

_INT8 = ElementType.INT8


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A convolution with padding that keeps the size, up to its stride.

    Attributes:
        name: of the table's row.
        channels: of the input.
        outputs: channels of the output.
        size: height and width of the input.
        kernel: height and width of the window.
        stride: of the window, both ways.
        depthwise: whether each channel has a filter of its own.
    """

    name: str
    channels: int
    outputs: int
    size: int
    kernel: int = 1
    stride: int = 1
    depthwise: bool = False

    @property
    def is_matrix_product(self) -> bool:
        """Whether it is one product of a [size * size, channels] matrix."""
        return self.kernel == 1 and self.stride == 1

    @property
    def output_size(self) -> int:
        """Height and width of the output."""
        return -(-self.size // self.stride)

    @property
    def terms(self) -> int:
        """Products in one sum."""
        return (1 if self.depthwise else self.channels) * self.kernel * self.kernel


def _depthwise(name: str, channels: int, size: int, kernel: int = 3, stride: int = 1) -> Layer:
    return Layer(
        name=name,
        channels=channels,
        outputs=channels,
        size=size,
        kernel=kernel,
        stride=stride,
        depthwise=True,
    )


# The first four are the matrix products of K = 512 and more on which the share of the peak is judged.
LAYERS = (
    Layer(name="matrix 576x512x512", channels=512, outputs=512, size=24),
    Layer(name="matrix 1024x1024x1024", channels=1024, outputs=1024, size=32),
    Layer(name="resnet50 1x1 1024-256, 14", channels=1024, outputs=256, size=14),
    Layer(name="resnet50 1x1 512-2048, 7", channels=512, outputs=2048, size=7),
    Layer(name="resnet50 1x1 64-256, 56", channels=64, outputs=256, size=56),
    Layer(name="resnet50 1x1 256-64, 56", channels=256, outputs=64, size=56),
    Layer(name="resnet 7x7/2 3-64, 224", channels=3, outputs=64, size=224, kernel=7, stride=2),
    Layer(name="resnet18 3x3 64-64, 56", channels=64, outputs=64, size=56, kernel=3),
    Layer(
        name="resnet18 3x3/2 64-128, 56", channels=64, outputs=128, size=56, kernel=3, stride=2
    ),
    Layer(name="resnet18 3x3 128-128, 28", channels=128, outputs=128, size=28, kernel=3),
    Layer(name="resnet18 3x3 256-256, 14", channels=256, outputs=256, size=14, kernel=3),
    Layer(name="resnet18 3x3 512-512, 7", channels=512, outputs=512, size=7, kernel=3),
    _depthwise("mobilenet_v2 depthwise 3x3 144, 56", 144, 56),
    _depthwise("mobilenet_v2 depthwise 3x3/2 144, 56", 144, 56, stride=2),
    _depthwise("mobilenet_v2 depthwise 3x3 576, 14", 576, 14),
    _depthwise("depthwise 5x5 240, 28", 240, 28, kernel=5),
    _depthwise("depthwise 5x5/2 240, 28", 240, 28, kernel=5, stride=2),
)


def layer_program(layer: Layer, seed: int = 0) -> IntegerProgram:
    """Return the program of one layer: random int8 weights, scales of powers of two, a ReLU.

    Scales of powers of two are exact in every runtime, so that any differing integer is a runtime's sum gone wrong.
    """
    generator = np.random.default_rng(seed)
    depth = 1 if layer.depthwise else layer.channels
    weights = generator.integers(-127, 128, (layer.outputs, depth, layer.kernel, layer.kernel))
    # An accumulator of random products spreads over sqrt(terms) * 74**2; codes should fill their range.
    shift = round(float(np.log2(np.sqrt(layer.terms) * 74**2 / 32)))
    count = layer.outputs
    constants = {
        "weights": Constant.of(weights, np.int8),
        "bias": Constant.of(generator.integers(-1000, 1000, count), np.int32),
        "multiplier": Constant.of(np.full(count, 1 << 23), np.int32),
        "shift": Constant.of(np.full(count, 23 + shift), np.int32),
        "minimum": Constant.of(np.zeros(count), np.int32),
        "maximum": Constant.of(np.full(count, 127), np.int32),
    }
    before = layer.kernel // 2
    after = max((layer.output_size - 1) * layer.stride + layer.kernel - layer.size - before, 0)
    key = KernelKey(
        operator="conv2d",
        activation=_INT8,
        weight=_INT8,
        per_channel=True,
        output=_INT8,
        requantize=Requantize.F32EVEN,
    )
    instruction = Instruction(
        name="layer",
        kernel=key,
        inputs=("x",),
        output="y",
        constants=constants,
        attributes={
            "strides": (layer.stride, layer.stride),
            "pads": (before, before, after, after),
            "dilations": (1, 1),
            "groups": layer.channels if layer.depthwise else 1,
            "input_zero_point": 0,
            "weight_zero_point": 0,
            "output_zero_point": 0,
        },
        weight_grid=_grid(np.ones(count), axis=0),
    )
    x = Tensor(
        name="x", shape=(None, layer.channels, layer.size, layer.size), grid=_grid(np.array(1))
    )
    y = Tensor(
        name="y",
        shape=(None, layer.outputs, layer.output_size, layer.output_size),
        grid=_grid(np.array(2.0**shift)),
    )
    return IntegerProgram(
        target="benchmark",
        inputs=("x",),
        outputs=("y",),
        tensors={"x": x, "y": y},
        instructions=(instruction,),
        origin=Origin(source_sha256="", pipeline="()", calibration="none", seed=seed),
    )


def _grid(scale: NDArray[np.generic], axis: int | None = None) -> UniformGrid:
    return UniformGrid(
        scale=Constant.of(scale, np.float32),
        zero_point=0,
        element=_INT8,
        minimum=-128,
        maximum=127,
        rounding=Rounding.HALF_EVEN,
        axis=axis,
    )


def matrix_model(layer: Layer, seed: int = 0) -> tuple[bytes, NDArray[np.uint8]]:
    """Return a model of the layer's matrix product alone, ONNX's MatMulInteger on x [M, K], and an x.

    It takes codes as a matrix and leaves int32 sums: neither a layout to convert nor a requantization.

    Args:
        layer: a matrix product.
        seed: of the random weights and codes.
    """
    generator = np.random.default_rng(seed)
    rows = layer.size * layer.size
    weights = generator.integers(-127, 128, (layer.channels, layer.outputs)).astype(np.int8)
    codes = generator.integers(0, 256, (rows, layer.channels)).astype(np.uint8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "weights"], ["y"])],
        "matrix_product",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, codes.shape)],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [rows, layer.outputs])],
        [numpy_helper.from_array(weights, "weights")],
    )
    opsets = [helper.make_opsetid("", 13)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return model.SerializeToString(), codes
