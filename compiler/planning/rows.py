"""The table under construction: rows, buffers, constants and scratch; what the row writers have in common."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.errors import IntlowerError
from intlower.compiler.planning.layout import (
    ALIGNMENT,
    Lifetime,
    Sizes,
    aligned,
    inner_strides,
    merged_loops,
    place,
    row_major_strides,
)
from intlower.compiler.program import IntegerProgram
from intlower.kernels import table as t
from intlower.kernels.interleave import PLANES
from intlower.kernels.isa import Isa
from intlower.kernels.signature import ElementType


def binary_offset(element: ElementType) -> int:
    """Return what the engine adds to a code, so that the least is 0; a float's bits it takes as they are."""
    return 0 if element is ElementType.FLOAT16 else -element.limits[0]


class Constants:
    """An arena of read-only arrays that grows as rows are written."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.uint8]] = []
        self._size = 0
        self._known: dict[bytes, int] = {}

    def add(self, values: Any, dtype: str) -> int:
        """Append an array, unless it is there already; return its byte offset."""
        array = np.ascontiguousarray(values, dtype=dtype).reshape(-1).view(np.uint8)
        digest = hashlib.sha256(array.data).digest()
        if digest in self._known:
            return self._known[digest]
        self._known[digest] = self._size
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

    Attributes:
        program: whose instructions are written.
        isa: whose kernels run them.
        ranges: the least and the greatest code of each tensor, see `ranges`.
        constants: what the rows refer to.
        labels: of the rows.
        scratch_bytes: of one thread.
    """

    def __init__(
        self, program: IntegerProgram, isa: Isa, ranges: Mapping[str, tuple[int, int]]
    ) -> None:
        self.program = program
        self.isa = isa
        self.ranges = ranges
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

    def temporary(self, sizes: Sizes, width: int) -> View:
        """Return new memory for what one row leaves to the next."""
        return self._new(sizes, width, inner_strides)

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
        if self._is_image(loops, source, target):
            columns |= {t.LENGTH: loops[0][0], t.INPUT_STRIDES: loops[1][1]}
            self.row(label, t.INTERLEAVE, columns, [(t.INPUT, source)], target)
            return
        for i, loop in enumerate((*((1, 0, 0),) * (t.LOOPS - len(loops)), *loops)):
            for base, number in zip(
                (t.SIZES, t.INPUT_STRIDES, t.OUTPUT_STRIDES), loop, strict=True
            ):
                columns[base + i] = number
        self.row(label, t.COPY, columns, [(t.INPUT, source)], target)

    def _is_image(
        self, loops: Sequence[tuple[int, int, int]], source: View, target: View
    ) -> bool:
        """Return whether a copy makes pixels of three planes of bytes, and there is a kernel for it."""
        return (
            self.isa.lanes > 1
            and source.width == target.width == 1
            and len(loops) == 2
            and loops[0][1:] == (1, PLANES)
            and (loops[1][0], loops[1][2]) == (PLANES, 1)
        )

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
            flip=binary_offset(self.program.tensors[name].grid.element),
        )
        return offset, size

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
