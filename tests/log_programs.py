"""Hypothesis strategies: programs of one instruction on logarithmic codes or linear numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from program_builder import ORIGIN, Draw, integers_like

from intlower.compiler.constant import Constant
from intlower.compiler.grids import Grid, LogGrid, linear_grid
from intlower.compiler.operators import AveragePool, Conv, Shape
from intlower.compiler.program import Instruction, IntegerProgram, Tensor
from intlower.kernels.numerics_log import (
    FORMATS,
    GREATEST_SHIFT,
    LEAST_SHIFT,
    LINEAR_HIGH,
    LINEAR_LOW,
    decode_table,
    encode_thresholds,
    mantissas,
    read_out_scale,
)
from intlower.kernels.signature import OPERATORS, KernelKey

LOG_OPERATORS = tuple(
    sorted(name for name in OPERATORS if name.startswith(("log_", "linear_")))
)

Parts = tuple[Shape, Grid, Shape, Grid, dict[str, NDArray[Any]], dict[str, Any]]


def log_instruction(draw: Draw, operator: str, bits: int) -> IntegerProgram:
    """Draw a program of one instruction; codes have `bits`."""
    inputs, source, output, target, constants, attributes = _PARTS[operator](draw, bits)
    schema = OPERATORS[operator]
    names = tuple(f"input_{i}" for i in range(schema.inputs or 1))
    weights = LogGrid.reaching(bits, 1.0) if schema.weighted else None
    instruction = Instruction(
        name=operator,
        kernel=KernelKey(
            operator=operator,
            activation=source.element,
            weight=None if weights is None else weights.element,
            output=target.element,
        ),
        inputs=names,
        output="output",
        constants={name: Constant(array) for name, array in constants.items()},
        attributes=attributes,
        weight_grid=weights,
    )
    tensors = [Tensor(name=name, shape=inputs, grid=source) for name in names]
    tensors.append(Tensor(name="output", shape=output, grid=target))
    return IntegerProgram(
        target="test",
        inputs=names,
        outputs=("output",),
        tensors={tensor.name: tensor for tensor in tensors},
        instructions=(instruction,),
        origin=ORIGIN,
    )


def _integer(draw: Draw, low: int, high: int) -> int:
    return int(draw(st.integers(low, high)))


def _image(draw: Draw) -> tuple[int, int, int]:
    return _integer(draw, 1, 9), _integer(draw, 1, 8), _integer(draw, 1, 8)


def _grid(draw: Draw, bits: int) -> LogGrid:
    return LogGrid.reaching(bits, 2.0 ** _integer(draw, -12, 8) * 1.3)


def _limits(draw: Draw) -> dict[str, Any]:
    ends = sorted(
        _integer(draw, LINEAR_LOW, LINEAR_HIGH) if draw(st.booleans()) else end
        for end in (LINEAR_LOW, LINEAR_HIGH)
    )
    return {"minimum": ends[0], "maximum": ends[1]}


def _products(
    draw: Draw, bits: int, shape: tuple[int, ...], source: LogGrid
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    layout = FORMATS[bits]
    generator = np.random.default_rng(_integer(draw, 0, 2**32 - 1))
    mode = _integer(draw, 0, 3)
    weights = integers_like(generator, mode, 0, layout.codes - 1, shape)
    if draw(st.booleans()):
        weights[generator.random(shape) < 0.3] = layout.magnitudes  # exact zeros
    outputs = shape[0]
    high = _integer(draw, 0, 20)
    mantissa, shift = read_out_scale(layout, source.z + LogGrid.reaching(bits, 1.0).z)
    if draw(st.booleans()):
        shift = _integer(draw, LEAST_SHIFT, GREATEST_SHIFT)
    ends = generator.integers(LINEAR_LOW, LINEAR_HIGH, (2, outputs), endpoint=True)
    if draw(st.booleans()):
        ends[:] = np.array([[LINEAR_LOW], [LINEAR_HIGH]])
    ends.sort(axis=0)
    constants = {
        "weights": weights.astype(layout.element.dtype_name),
        "bias_low": generator.integers(0, 1 << 30, outputs).astype(np.int32),
        "bias_high": generator.integers(-(1 << high), 1 << high, outputs).astype(np.int32),
        "mantissas": np.array(mantissas(layout), np.int32),
        "minimum": ends[0].astype(np.int32),
        "maximum": ends[1].astype(np.int32),
    }
    attributes = {"product_shift": layout.product_shift, "mantissa": mantissa, "shift": shift}
    return constants, attributes


def _log_conv2d(draw: Draw, bits: int) -> Parts:
    source = _grid(draw, bits)
    channels, height, width = _image(draw)
    groups = draw(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
    depthwise = groups == channels and draw(st.booleans())
    outputs = channels if depthwise else groups * _integer(draw, 1, 4)
    pads = tuple(_integer(draw, 0, 2) for _ in range(4))
    dilations = _integer(draw, 1, 2), _integer(draw, 1, 2)
    rows = (height + pads[0] + pads[2] - 1) // dilations[0] + 1
    columns = (width + pads[1] + pads[3] - 1) // dilations[1] + 1
    kernel = _integer(draw, 1, min(rows, 4)), _integer(draw, 1, min(columns, 4))
    operator = Conv(
        strides=(_integer(draw, 1, 3), _integer(draw, 1, 3)),
        pads=(pads[0], pads[1], pads[2], pads[3]),
        dilations=dilations,
        groups=groups,
    )
    weights = (outputs, channels // groups, *kernel)
    constants, attributes = _products(draw, bits, weights, source)
    window = {
        "strides": operator.strides,
        "pads": operator.pads,
        "dilations": operator.dilations,
        "groups": operator.groups,
    }
    shape: Shape = (None, channels, height, width)
    output = operator.output_shape([shape, weights])
    return shape, source, output, linear_grid(), constants, {**window, **attributes}


def _log_gemm(draw: Draw, bits: int) -> Parts:
    source = _grid(draw, bits)
    inputs, outputs = _integer(draw, 1, 50), _integer(draw, 1, 20)
    constants, attributes = _products(draw, bits, (outputs, inputs), source)
    return (None, inputs), source, (None, outputs), linear_grid(), constants, attributes


def _log_encode(draw: Draw, bits: int) -> Parts:
    target, shape = _grid(draw, bits), (None, *_image(draw))
    thresholds, negative = encode_thresholds(target.layout, target.z)
    constants = {"thresholds": np.array(thresholds, np.int32)}
    return shape, linear_grid(), shape, target, constants, {"negative_threshold": negative}


def _log_decode(draw: Draw, bits: int) -> Parts:
    source, shape = _grid(draw, bits), (None, *_image(draw))
    constants = {"levels": np.array(decode_table(source.layout, source.z), np.int32)}
    return shape, source, shape, linear_grid(), constants, {}


def _linear(draw: Draw, bits: int) -> Parts:
    shape = (None, *_image(draw))
    return shape, linear_grid(), shape, linear_grid(), {}, _limits(draw)


def _linear_average_pool(draw: Draw, bits: int) -> Parts:
    channels, height, width = _image(draw)
    kernel = _integer(draw, 1, min(3, height)), _integer(draw, 1, min(3, width))
    top, left, bottom, right = (_integer(draw, 0, kernel[i % 2] - 1) for i in range(4))
    operator = AveragePool(
        kernel_shape=kernel,
        strides=(_integer(draw, 1, 3), _integer(draw, 1, 3)),
        pads=(top, left, bottom, right),
    )
    shape: Shape = (None, channels, height, width)
    output = operator.output_shape([shape])
    positions = (output[2] or 1, output[3] or 1) if draw(st.booleans()) else (1, 1)
    generator = np.random.default_rng(_integer(draw, 0, 2**32 - 1))
    counts = generator.integers(1, 10, positions).astype(np.int32)
    attributes = {
        "kernel_shape": operator.kernel_shape,
        "strides": operator.strides,
        "pads": operator.pads,
        **_limits(draw),
    }
    return shape, linear_grid(), output, linear_grid(), {"counts": counts}, attributes


_PARTS: dict[str, Callable[[Draw, int], Parts]] = {
    "log_conv2d": _log_conv2d,
    "log_gemm": _log_gemm,
    "log_encode": _log_encode,
    "log_decode": _log_decode,
    "linear_add": _linear,
    "linear_clamp": _linear,
    "linear_average_pool": _linear_average_pool,
}
