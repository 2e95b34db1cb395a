"""Rows of kernels on logarithmic codes and linear numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.planning.columns import number, numbers
from intlower.compiler.planning.rows import RowWriter, binary_offset
from intlower.compiler.program import Instruction
from intlower.kernels import table as t
from intlower.kernels.numerics_log import LogFormat, format_of
from intlower.kernels.reference_log import bias_of, magnitude_of, product_table, sign_of

# strides, pads and dilations of a matrix product
_NO_WINDOW: tuple[tuple[int, ...], ...] = ((1, 1), (0, 0, 0, 0), (1, 1))


def write_log_products(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of a log_conv2d or log_gemm: LOG_DEPTHWISE where every channel has one filter of its own."""
    attributes = instruction.attributes
    constants = {name: c.array for name, c in instruction.constants.items()}
    layout = format_of(instruction.kernel.activation)
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    weights = constants["weights"]
    groups = 1
    sizes: tuple[int, ...] = (1, 1, 1, 1)
    strides, pads, dilations = _NO_WINDOW
    if instruction.kernel.operator == "log_gemm":
        weights = weights[:, :, None, None]
    else:
        strides, pads, dilations = (
            numbers(attributes[name]) for name in ("strides", "pads", "dilations")
        )
        groups = number(attributes["groups"])
        sizes = (*x.sizes[1:], *y.sizes[1:])
    outputs, depth, kernel_height, kernel_width = weights.shape
    product_shift = number(attributes["product_shift"])
    products = np.array(product_table(constants["mantissas"], layout, product_shift), np.int64)
    signed = np.concatenate([products, np.zeros(layout.magnitudes, np.int64), -products])
    columns = {
        t.HEIGHT: sizes[0],
        t.WIDTH: sizes[1],
        t.CHANNELS: x.sizes[0],
        t.OUTPUT_HEIGHT: sizes[2],
        t.OUTPUT_WIDTH: sizes[3],
        t.OUTPUT_CHANNELS: outputs,
        t.KERNEL_HEIGHT: kernel_height,
        t.KERNEL_WIDTH: kernel_width,
        t.STRIDE_Y: strides[0],
        t.STRIDE_X: strides[1],
        t.PAD_TOP: pads[0],
        t.PAD_LEFT: pads[1],
        t.DILATION_Y: dilations[0],
        t.DILATION_X: dilations[1],
        t.GROUPS: groups,
        t.DEPTH: depth,
        t.MAGNITUDES: layout.magnitudes,
        t.MANTISSA: number(attributes["mantissa"]),
        t.READ_OUT_SHIFT: number(attributes["shift"]),
        t.LOW: writer.constants.add(constants["minimum"], "int32"),
        t.HIGH: writer.constants.add(constants["maximum"], "int32"),
        t.BIAS: writer.constants.add(
            bias_of(constants["bias_low"], constants["bias_high"]), "int64"
        ),
        t.TABLE: writer.constants.add(np.concatenate([signed, -signed]), "int64"),
    }
    indices = _table_indices(weights, layout).reshape(groups, -1, *weights.shape[1:])
    depthwise = groups == x.sizes[0] == outputs and groups > 1
    # [groups, O/groups, C/groups, kh, kw] to [kh, kw, C] or [groups, kh, kw, C/groups, O/groups]
    packed = (
        indices[:, 0, 0].transpose(1, 2, 0) if depthwise else indices.transpose(0, 3, 4, 2, 1)
    )
    columns[t.WEIGHTS] = writer.constants.add(packed, "int16")
    taps = depth * kernel_height * kernel_width
    columns[t.ACCUMULATORS], columns[t.PANEL] = writer.scratch(outputs * 8, taps * 16)
    opcode = t.LOG_DEPTHWISE if depthwise else t.LOG_DENSE
    writer.row(instruction.name, opcode, columns, [(t.INPUT, x)], y)


def _table_indices(weights: NDArray[Any], layout: LogFormat) -> NDArray[np.int64]:
    """Return where in the table of products each weight's own begin: positive, zero, negative ones."""
    starts = np.array([0, 2 * layout.magnitudes - 1, 3 * layout.magnitudes - 1])
    sign = sign_of(weights, layout)
    indices: NDArray[np.int64] = starts[1 - sign] + magnitude_of(weights, layout) * (sign != 0)
    return indices


def write_log_encode(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of an encoding."""
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    columns = {
        t.LENGTH: x.count,
        t.TABLE: writer.constants.add(instruction.constants["thresholds"].array, "int32"),
        t.MAGNITUDES: format_of(instruction.kernel.output).magnitudes,
        t.VALUE: number(instruction.attributes["negative_threshold"]),
    }
    writer.row(instruction.name, t.LOG_ENCODE, columns, [(t.INPUT, x)], y)


def write_log_decode(writer: RowWriter, instruction: Instruction) -> None:
    """Append a look-up: the levels, once for every value of the bits above a code."""
    key = instruction.kernel
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    levels = instruction.constants["levels"].array.astype(np.int64) + binary_offset(key.output)
    repeats = (key.activation.limits[1] + 1) // len(levels)
    columns = {
        t.LENGTH: x.count,
        t.TABLE: writer.constants.add(np.tile(levels, repeats).astype(np.uint32), "uint32"),
    }
    writer.row(instruction.name, t.LOOKUP, columns, [(t.INPUT, x)], y)


def write_linear_add(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of an addition of linear numbers."""
    a, b = (writer.view(name) for name in instruction.inputs)
    y = writer.view(instruction.output)
    columns = {t.LENGTH: a.count, **_limits(instruction)}
    operands = [(t.INPUT, a), (t.SECOND_INPUT, b)]
    writer.row(instruction.name, t.LINEAR_ADD, columns, operands, y)


def write_linear_clamp(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of a clamp of linear numbers."""
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    columns = {t.LENGTH: x.count, **_limits(instruction)}
    writer.row(instruction.name, t.LINEAR_CLAMP, columns, [(t.INPUT, x)], y)


def write_linear_average_pool(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of an average pooling of linear numbers."""
    attributes = instruction.attributes
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    kernel, strides, pads = (
        numbers(attributes[name]) for name in ("kernel_shape", "strides", "pads")
    )
    counts = instruction.constants["counts"].array
    (accumulators,) = writer.scratch(x.sizes[0] * 8)
    columns = {
        t.HEIGHT: x.sizes[1],
        t.WIDTH: x.sizes[2],
        t.CHANNELS: x.sizes[0],
        t.OUTPUT_HEIGHT: y.sizes[1],
        t.OUTPUT_WIDTH: y.sizes[2],
        t.KERNEL_HEIGHT: kernel[0],
        t.KERNEL_WIDTH: kernel[1],
        t.STRIDE_Y: strides[0],
        t.STRIDE_X: strides[1],
        t.PAD_TOP: pads[0],
        t.PAD_LEFT: pads[1],
        t.ACCUMULATORS: accumulators,
        t.TABLE: writer.constants.add(counts, "int32"),
        t.UNIFORM: int(counts.size == 1),
        **_limits(instruction),
    }
    writer.row(instruction.name, t.LINEAR_AVERAGE_POOL, columns, [(t.INPUT, x)], y)


def _limits(instruction: Instruction) -> dict[int, int]:
    return {
        t.LOW: number(instruction.attributes["minimum"]),
        t.HIGH: number(instruction.attributes["maximum"]),
    }


LOG_ROW_WRITERS = {
    "log_conv2d": write_log_products,
    "log_gemm": write_log_products,
    "log_encode": write_log_encode,
    "log_decode": write_log_decode,
    "linear_add": write_linear_add,
    "linear_average_pool": write_linear_average_pool,
    "linear_clamp": write_linear_clamp,
}
