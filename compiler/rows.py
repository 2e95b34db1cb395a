"""Writes an integer program's instructions as rows of the kernels' table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.errors import IntlowerError
from intlower.compiler.layout import (
    ALIGNMENT,
    Lifetime,
    Sizes,
    aligned,
    inner_strides,
    merged_loops,
    place,
    row_major_strides,
    same_order,
)
from intlower.compiler.operators import Slice
from intlower.compiler.program import Instruction, IntegerProgram
from intlower.kernels import table as t
from intlower.kernels.isa import Isa
from intlower.kernels.packing import pack_dense, wrapped
from intlower.kernels.reference import reference_for
from intlower.kernels.signature import ElementType, Requantize

RULES = {
    Requantize.F32EVEN: t.F32EVEN,
    Requantize.MUL31DOUBLE: t.MUL31DOUBLE,
    Requantize.MUL31SINGLE: t.MUL31SINGLE,
}
# Bytes of packed rows and accumulators worked on at a time: they should stay in the second-level cache.
BLOCK_BYTES = 1 << 17
MOST_BLOCK_ROWS = 48


def binary_offset(element: ElementType) -> int:
    """Return what the engine adds to a code, so that the least is 0."""
    return -element.limits[0]


class Constants:
    """An arena of read-only arrays that grows as rows are written."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.uint8]] = []
        self._size = 0

    def add(self, values: Any, dtype: str) -> int:
        """Append an array; return its byte offset."""
        array = np.ascontiguousarray(values, dtype=dtype).reshape(-1).view(np.uint8)
        offset, size = self._size, aligned(array.size + ALIGNMENT)  # vectors may read past it
        self._parts.append(array)
        self._parts.append(np.zeros(size - array.size, np.uint8))
        self._size += size
        return offset

    def bytes(self) -> NDArray[np.uint8]:
        """Return everything, aligned."""
        result = aligned_bytes(max(self._size, ALIGNMENT))
        if self._parts:
            np.concatenate(self._parts, out=result[: self._size])
        return result


def aligned_bytes(size: int) -> NDArray[np.uint8]:
    """Return zeroed bytes whose address is a multiple of the alignment."""
    raw = np.zeros(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size]


@dataclass(slots=True)
class _Buffer:
    size: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class View:
    """A tensor of one sample as memory: a buffer and strides, in elements.

    Attributes:
        buffer: index of the buffer; None is the staging area.
        start: first element, from the buffer's beginning.
        sizes: of the dimensions after the batch.
        strides: of the same dimensions.
        width: bytes of an element.
    """

    buffer: int | None
    start: int
    sizes: Sizes
    strides: Sizes
    width: int

    @property
    def count(self) -> int:
        """How many elements."""
        return math.prod(self.sizes)


class RowWriter:
    """Collects rows, buffers and constants while it goes through a program.

    Buffers get their place in the arena at the end, when all lifetimes are known.
    """

    def __init__(self, program: IntegerProgram, isa: Isa) -> None:
        self.program = program
        self.isa = isa
        self.constants = Constants()
        self.labels: list[str] = []
        self.scratch_bytes = 0
        self._rows: list[dict[int, int]] = []
        self._places: list[list[tuple[int, View]]] = []
        self._buffers: list[_Buffer] = []
        self._views: dict[str, View] = {}
        self._staged = {"in": 0, "out": 0}

    def sizes(self, name: str) -> Sizes:
        """Return a tensor's dimensions after the batch."""
        return tuple(d for d in self.program.tensors[name].shape[1:] if d is not None)

    def view(self, name: str) -> View:
        """Return the memory of a tensor, made at its first mention."""
        if name not in self._views:
            width = self.program.tensors[name].grid.dtype.itemsize
            self._views[name] = self._new(self.sizes(name), width, inner_strides)
        return self._views[name]

    def _new(self, sizes: Sizes, width: int, strides: Callable[[Sizes], Sizes]) -> View:
        self._buffers.append(_Buffer(math.prod(sizes) * width, 1 << 62, -1))
        return View(len(self._buffers) - 1, 0, sizes, strides(sizes), width)

    def row_major(self, view: View) -> View:
        """Return new memory of a view's sizes, in row-major order."""
        return self._new(view.sizes, view.width, row_major_strides)

    def alias(self, name: str, view: View) -> None:
        """Give a tensor the memory of another."""
        strides = inner_strides(self.sizes(name))
        self._views[name] = View(view.buffer, view.start, self.sizes(name), strides, view.width)

    def row(
        self,
        label: str,
        opcode: int,
        columns: Mapping[int, int],
        inputs: Sequence[tuple[int, View]],
        output: View,
    ) -> None:
        """Append a row, whose operands' offsets are filled in by `table`."""
        number = len(self._rows)
        places = [*inputs, (t.OUTPUT, output)]
        for _, view in places:
            if view.buffer is not None:
                buffer = self._buffers[view.buffer]
                buffer.first, buffer.last = min(buffer.first, number), number
        self._rows.append(
            {
                t.OPCODE: opcode,
                t.INPUT_BYTES: inputs[0][1].width if inputs else output.width,
                t.OUTPUT_BYTES: output.width,
                **columns,
            }
        )
        self._places.append(places)
        self.labels.append(label)

    def copy(self, label: str, source: View, target: View, flip: int = 0) -> None:
        """Append a row that copies one view onto another of the same sizes."""
        loops = merged_loops(source.sizes, source.strides, target.strides)
        if len(loops) > t.LOOPS:
            raise IntlowerError(
                f"{label}: a copy of shape {list(source.sizes)} needs {len(loops)} loops; the engine has {t.LOOPS}"
            )
        self._prove_inside(label, source)
        self._prove_inside(label, target)
        columns = {t.VALUE: flip}
        for i, loop in enumerate((*((1, 0, 0),) * (t.LOOPS - len(loops)), *loops)):
            for base, number in zip(
                (t.SIZES, t.INPUT_STRIDES, t.OUTPUT_STRIDES), loop, strict=True
            ):
                columns[base + i] = number
        self.row(label, t.COPY, columns, [(t.INPUT, source)], target)

    def _prove_inside(self, label: str, view: View) -> None:
        reach = [
            (size - 1) * stride for size, stride in zip(view.sizes, view.strides, strict=True)
        ]
        least = view.start + sum(min(r, 0) for r in reach)
        greatest = view.start + sum(max(r, 0) for r in reach)
        if view.buffer is None:
            return
        if least < 0 or (greatest + 1) * view.width > self._buffers[view.buffer].size:
            raise IntlowerError(f"{label}: a copy would leave its buffer")

    def import_tensor(self, name: str) -> tuple[int, int]:
        """Append the copy of an input from the staging area; return its offset and size there."""
        target = self.view(name)
        return self._stage("in", name, target, lambda staged: (staged, target))

    def export_tensor(self, name: str) -> tuple[int, int]:
        """Append the copy of an output to the staging area; return its offset and size there."""
        source = self.view(name)
        return self._stage("out", name, source, lambda staged: (source, staged))

    def _stage(
        self, side: str, name: str, view: View, ends: Callable[[View], tuple[View, View]]
    ) -> tuple[int, int]:
        offset, size = self._staged[side], view.count * view.width
        self._staged[side] += aligned(size)
        staged = View(
            None, offset // view.width, view.sizes, row_major_strides(view.sizes), view.width
        )
        self.copy(
            name,
            *ends(staged),
            flip=binary_offset(self.program.tensors[name].grid.element)
            if self.program.tensors[name].grid.element.limits[0] < 0
            else 0,
        )
        return offset, size

    def instruction(self, instruction: Instruction) -> None:
        """Append the rows of one instruction."""
        _WRITERS[instruction.kernel.operator](self, instruction)

    def scratch(self, *sizes: int) -> tuple[int, ...]:
        """Reserve parts of a thread's scratch for one row; return their offsets in it."""
        offsets, end = [], 0
        for size in sizes:
            offsets.append(end)
            end += aligned(size + ALIGNMENT)  # vectors may write past it
        self.scratch_bytes = max(self.scratch_bytes, end)
        return tuple(offsets)

    def table(self) -> tuple[NDArray[np.int64], int]:
        """Return the finished table, and the bytes that the tensors take."""
        offsets, peak = place(
            [Lifetime(size=b.size, first=b.first, last=b.last) for b in self._buffers]
        )
        table = np.zeros((len(self._rows), t.COLUMNS), np.int64)
        for number, (columns, places) in enumerate(zip(self._rows, self._places, strict=True)):
            for column, value in columns.items():
                table[number, column] = value
            for column, view in places:
                base = peak if view.buffer is None else offsets[view.buffer]
                table[number, column] = base + view.start * view.width
        return table, peak


def _output_columns(writer: RowWriter, instruction: Instruction) -> dict[int, int]:
    """The requantization rule, zero points and uniform limits of an instruction that has them."""
    key, attributes = instruction.kernel, instruction.attributes
    assert key.requantize is not None  # every caller's operator requantizes
    columns = {
        t.RULE: RULES[key.requantize],
        t.OUTPUT_ZERO_POINT: _number(attributes["output_zero_point"])
        + binary_offset(key.output),
    }
    if "input_zero_point" in attributes:
        columns[t.ZERO_POINT] = _number(attributes["input_zero_point"]) + binary_offset(
            key.activation
        )
    if "minimum" in attributes:
        for column, name in ((t.LOW, "minimum"), (t.HIGH, "maximum")):
            columns[column] = _number(attributes[name]) - _number(
                attributes["output_zero_point"]
            )
    return columns


def _scales(writer: RowWriter, multiplier: NDArray[Any], shift: NDArray[Any]) -> dict[int, int]:
    """Offsets of multipliers, shifts and their quotients, which float32 holds exactly up to 24 bits."""
    quotient = np.ldexp(multiplier.astype(np.float64), -shift.astype(np.int64))
    return {
        t.MULTIPLIER: writer.constants.add(multiplier, "int32"),
        t.SHIFT: writer.constants.add(shift, "int32"),
        t.SCALE: writer.constants.add(quotient, "float32"),
    }


def _channel_limits(writer: RowWriter, instruction: Instruction) -> dict[int, int]:
    zero_point = _number(instruction.attributes["output_zero_point"])
    columns = {}
    for name, integers, floats in (
        ("minimum", t.LOW, t.LOW_FLOAT),
        ("maximum", t.HIGH, t.HIGH_FLOAT),
    ):
        limits = instruction.constants[name].array.astype(np.int64) - zero_point
        columns[integers] = writer.constants.add(limits, "int32")
        columns[floats] = writer.constants.add(limits, "float32")
    return columns


def _number(value: int | tuple[int, ...]) -> int:
    assert isinstance(value, int)  # check_instruction proved it
    return value


def _numbers(value: int | tuple[int, ...]) -> tuple[int, ...]:
    assert isinstance(value, tuple)  # check_instruction proved it
    return value


def _products(writer: RowWriter, instruction: Instruction) -> None:
    """Rows of conv2d and gemm: DEPTHWISE where every channel has one filter of its own, else DENSE."""
    attributes = instruction.attributes
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    weights = instruction.constants["weights"].array.astype(np.int64) - _number(
        attributes["weight_zero_point"]
    )
    if instruction.kernel.operator == "gemm":
        weights = weights[:, :, None, None]
        strides, pads, dilations, groups = (1, 1), (0, 0, 0, 0), (1, 1), 1
        height, width, output_height, output_width = 1, 1, 1, 1
        channels = x.sizes[0]
    else:
        strides, pads, dilations = (
            _numbers(attributes[name]) for name in ("strides", "pads", "dilations")
        )
        groups = _number(attributes["groups"])
        channels, height, width = x.sizes
        _, output_height, output_width = y.sizes
    outputs, depth, kernel_height, kernel_width = weights.shape
    constants = {name: c.array for name, c in instruction.constants.items()}
    columns = {
        **_output_columns(writer, instruction),
        **_scales(writer, constants["multiplier"], constants["shift"]),
        **_channel_limits(writer, instruction),
        t.HEIGHT: height,
        t.WIDTH: width,
        t.CHANNELS: channels,
        t.OUTPUT_HEIGHT: output_height,
        t.OUTPUT_WIDTH: output_width,
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
    }
    ordered = weights.transpose(0, 2, 3, 1)
    if groups == channels == outputs and groups > 1:
        taps = ordered.reshape(outputs, -1).T
        _depthwise(writer, instruction, columns, taps, x, y)
        return
    packed = pack_dense(
        ordered.reshape(outputs, -1),
        groups=groups,
        isa=writer.isa,
        code_bytes=x.width,
        zero_point=columns[t.ZERO_POINT],
    )
    bias = np.zeros((groups, packed.columns), np.int64)
    bias[:, : outputs // groups] = wrapped(constants["bias"] + packed.correction).reshape(
        groups, -1
    )
    block = min(MOST_BLOCK_ROWS, max(BLOCK_BYTES // (packed.words * 4), 1))
    block = -(-min(block, output_height * output_width) // writer.isa.rows) * writer.isa.rows
    columns[t.PANEL], columns[t.ACCUMULATORS] = writer.scratch(
        block * packed.words * 4, block * writer.isa.columns * 4
    )
    columns |= {
        t.WEIGHTS: writer.constants.add(packed.data, "uint8"),
        t.GROUP_BYTES: packed.group_bytes,
        t.BIAS: writer.constants.add(bias, "int32"),
        t.WORDS: packed.words,
        t.OPERAND_BYTES: packed.operand_bytes,
        t.CENTER: packed.center,
        t.PAD_VALUE: packed.pad_value,
        t.BLOCK_ROWS: block,
        t.PADDED_CHANNELS: packed.columns,
    }
    writer.row(instruction.name, t.DENSE, columns, [(t.INPUT, x)], y)


def _depthwise(
    writer: RowWriter,
    instruction: Instruction,
    columns: dict[int, int],
    taps: NDArray[np.int64],
    x: View,
    y: View,
) -> None:
    """The row of a depthwise convolution; `taps` is [kh * kw, C], zero point removed."""
    bias = instruction.constants["bias"].array.astype(np.int64)
    count, channels = taps.shape
    if int(taps.min()) < -(1 << 15) or int(taps.max()) >= 1 << 15:
        raise IntlowerError(f"{instruction.name}: its weights do not fit 16 bits")
    if writer.isa.name == "portable" or x.width > 1:
        (columns[t.ACCUMULATORS],) = writer.scratch(channels * 4)
        columns[t.WEIGHTS] = writer.constants.add(taps, "int16")
        columns[t.BIAS] = writer.constants.add(bias, "int32")
        writer.row(instruction.name, t.DEPTHWISE, columns, [(t.INPUT, x)], y)
        return
    pairs, padded = -(-count // 2), -(-channels // 8) * 8
    packed = np.zeros((pairs * 2, padded), np.int16)
    packed[:count, :channels] = taps
    folded = np.zeros(padded, np.int64)
    folded[:channels] = wrapped(bias - columns[t.ZERO_POINT] * taps.sum(axis=0))
    window = np.arange(pairs * 2).clip(max=count - 1)
    rows, places = np.divmod(window, columns[t.KERNEL_WIDTH])
    offsets = (
        rows * columns[t.DILATION_Y] * columns[t.WIDTH] + places * columns[t.DILATION_X]
    ) * channels
    block = max(BLOCK_BYTES // 4 // (padded * 4), 1)
    columns[t.ACCUMULATORS], columns[t.BORDER_TAPS], columns[t.PAD_ROW] = writer.scratch(
        block * padded * 4, pairs * 16, padded
    )
    columns |= {
        t.WEIGHTS: writer.constants.add(
            packed.reshape(pairs, 2, padded).transpose(0, 2, 1), "int16"
        ),
        t.BIAS: writer.constants.add(folded, "int32"),
        t.TAPS: writer.constants.add(offsets, "int64"),
        t.PADDED_CHANNELS: padded,
        t.BLOCK_ROWS: block,
    }
    writer.row(instruction.name, t.DEPTHWISE_PAIRS, columns, [(t.INPUT, x)], y)


def _add(writer: RowWriter, instruction: Instruction) -> None:
    attributes = instruction.attributes
    a, b = (writer.view(name) for name in instruction.inputs)
    zero_points = _numbers(attributes["input_zero_points"])
    offset = binary_offset(instruction.kernel.activation)
    columns = {
        **_output_columns(writer, instruction),
        **_scales(
            writer,
            np.array(_numbers(attributes["multiplier"])),
            np.array(_numbers(attributes["shift"])),
        ),
        t.LENGTH: a.count,
        t.ZERO_POINT: zero_points[0] + offset,
        t.SECOND_ZERO_POINT: zero_points[1] + offset,
        t.LEFT_SHIFT: _number(attributes["left_shift"]),
    }
    y = writer.view(instruction.output)
    writer.row(instruction.name, t.ADD, columns, [(t.INPUT, a), (t.SECOND_INPUT, b)], y)


def _pool(writer: RowWriter, instruction: Instruction) -> None:
    attributes = instruction.attributes
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    kernel, strides, pads = (
        _numbers(attributes[name]) for name in ("kernel_shape", "strides", "pads")
    )
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
    }
    if instruction.kernel.operator == "max_pool":
        dilations = _numbers(attributes["dilations"])
        columns |= {t.DILATION_Y: dilations[0], t.DILATION_X: dilations[1]}
        writer.row(instruction.name, t.MAX_POOL, columns, [(t.INPUT, x)], y)
        return
    widest = min(kernel[0], x.sizes[1]) * min(kernel[1], x.sizes[2])
    if widest << (8 * x.width) > 1 << 31:
        raise IntlowerError(
            f"{instruction.name}: the sum of {widest} codes may leave the int32 accumulator"
        )
    multiplier, shift = (instruction.constants[n].array for n in ("multiplier", "shift"))
    columns |= _output_columns(writer, instruction) | _scales(writer, multiplier, shift)
    (columns[t.ACCUMULATORS],) = writer.scratch(x.sizes[0] * 4)
    columns[t.UNIFORM] = int(multiplier.size == 1)
    writer.row(instruction.name, t.AVERAGE_POOL, columns, [(t.INPUT, x)], y)


def _requantize(writer: RowWriter, instruction: Instruction) -> None:
    """A function of one code is a table of its values, which the oracle computes once."""
    key = instruction.kernel
    low, high = key.activation.limits
    codes = np.arange(low, high + 1).astype(key.activation.dtype_name)
    values = reference_for(key)(codes, **instruction.attributes)
    entries = values.astype(np.int64) + binary_offset(key.output)
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    columns = {t.LENGTH: x.count, t.TABLE: writer.constants.add(entries, "int32")}
    writer.row(instruction.name, t.LOOKUP, columns, [(t.INPUT, x)], y)


def _concat(writer: RowWriter, instruction: Instruction) -> None:
    y = writer.view(instruction.output)
    axis = _number(instruction.attributes["axis"]) - 1
    position = 0
    for name in instruction.inputs:
        x = writer.view(name)
        start = position * y.strides[axis]
        part = View(y.buffer, start, x.sizes, y.strides, y.width)
        writer.copy(instruction.name, x, part)
        position += x.sizes[axis]


def _pad(writer: RowWriter, instruction: Instruction) -> None:
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    begins = _numbers(instruction.attributes["pads"])[1 : len(x.sizes) + 1]
    value = _number(instruction.attributes["value"]) + binary_offset(
        instruction.kernel.activation
    )
    if y.count > x.count:
        writer.row(instruction.name, t.FILL, {t.LENGTH: y.count, t.VALUE: value}, [], y)
    start = sum(b * s for b, s in zip(begins, y.strides, strict=True))
    writer.copy(instruction.name, x, View(y.buffer, start, x.sizes, y.strides, y.width))


def _slice(writer: RowWriter, instruction: Instruction) -> None:
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    starts, ends, axes, steps = (
        _numbers(instruction.attributes[name]) for name in ("starts", "ends", "axes", "steps")
    )
    selections = Slice(starts=starts, ends=ends, axes=axes, steps=steps).selections(
        len(x.sizes) + 1
    )
    first, strides = x.start, list(x.strides)
    for axis, selection in selections.items():
        begin, _, step = selection.indices(x.sizes[axis - 1])
        first += begin * x.strides[axis - 1]
        strides[axis - 1] *= step
    writer.copy(instruction.name, View(x.buffer, first, y.sizes, tuple(strides), x.width), y)


def _reshape(writer: RowWriter, instruction: Instruction) -> None:
    """No copy where both shapes lie in row-major order; else through that order."""
    x = writer.view(instruction.inputs[0])
    sizes = writer.sizes(instruction.output)
    plain = same_order(x.sizes, x.strides, row_major_strides(x.sizes))
    if not plain:
        flat = writer.row_major(x)
        writer.copy(instruction.name, x, flat)
        x = flat
    if same_order(sizes, inner_strides(sizes), row_major_strides(sizes)):
        writer.alias(instruction.output, x)
        return
    reshaped = View(x.buffer, x.start, sizes, row_major_strides(sizes), x.width)
    writer.copy(instruction.name, reshaped, writer.view(instruction.output))


def _softmax(writer: RowWriter, instruction: Instruction) -> None:
    """The axis' place among the dimensions as they lie in memory."""
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    axis = _number(instruction.attributes["axis"]) - 1
    inner = x.strides[axis]
    length = x.sizes[axis]
    columns = {
        t.OUTER: x.count // (length * inner),
        t.LENGTH: length,
        t.INNER: inner,
        t.TABLE: writer.constants.add(instruction.constants["table"].array, "int32"),
        t.VALUE: _number(instruction.attributes["maximum"]),
        t.OUTPUT_ZERO_POINT: binary_offset(instruction.kernel.output),
    }
    writer.row(instruction.name, t.SOFTMAX, columns, [(t.INPUT, x)], y)


_WRITERS: dict[str, Callable[[RowWriter, Instruction], None]] = {
    "conv2d": _products,
    "gemm": _products,
    "add": _add,
    "average_pool": _pool,
    "max_pool": _pool,
    "requantize": _requantize,
    "concat": _concat,
    "pad": _pad,
    "slice": _slice,
    "reshape": _reshape,
    "softmax": _softmax,
}
