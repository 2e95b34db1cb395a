"""From an integer program to what the compiled walk needs: a table, constants, and the size of an arena."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.errors import IntlowerError
from intlower.compiler.planning.layout import ALIGNMENT, aligned
from intlower.compiler.planning.ranges import code_ranges
from intlower.compiler.planning.rows import RowWriter
from intlower.compiler.planning.writers import ROW_WRITERS
from intlower.compiler.program import IntegerProgram
from intlower.kernels.isa import Isa
from intlower.kernels.library import entry_address, entry_name, kernel_for
from intlower.kernels.table import INPUT_BYTES, KERNEL, OPCODE, OUTPUT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """Where the host puts or finds one tensor of one sample, as row-major codes.

    Attributes:
        name: of the tensor.
        offset: in the arena, in bytes.
        size: in bytes.
        shape: of one sample.
        dtype: NumPy's name of the codes.
    """

    name: str
    offset: int
    size: int
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """A program laid out for one instruction set. Every number of the table is proved; walks are not checked.

    Attributes:
        isa: whose kernels it calls.
        table: int64 [rows, COLUMNS], see `kernels/table.py`.
        labels: for each row, the name of the instruction it belongs to, or of the port.
        constants: uint8, packed weights and requantization constants.
        inputs: where to put the inputs.
        outputs: where to find the outputs.
        peak_bytes: of the arena's tensors of one sample, lifetimes overlapped.
        total_bytes: of all tensors of one sample, one after another.
        scratch_bytes: of one thread, beyond the tensors.
        arena_bytes: all of one arena, for `threads` threads.
        threads: how many threads may walk the table together.
        kernels: names of the kernels, variant included, in the program's order.
    """

    isa: Isa
    table: NDArray[np.int64]
    labels: tuple[str, ...]
    constants: NDArray[np.uint8]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    peak_bytes: int
    total_bytes: int
    scratch_bytes: int
    arena_bytes: int
    threads: int
    kernels: tuple[str, ...]


def make_plan(
    program: IntegerProgram,
    isa: Isa,
    threads: int = 1,
    keep_all: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Plan:
    """Return the plan of a program.

    Args:
        program: what to run.
        isa: whose kernels to use.
        threads: how many may walk the table together.
        keep_all: make every tensor an output, so that none shares its memory.
        progress: called with each kernel's name before it is compiled, or loaded from disk.

    Raises:
        IntlowerError: a tensor has no batch, or an instruction is outside what the kernels hold.
    """
    for tensor in program.tensors.values():
        if not tensor.shape:
            raise IntlowerError(
                f"tensor {tensor.name!r}: the engine runs tensors with a batch",
                "the oracle, run_reference, takes any",
            )
    writer = RowWriter(program, isa, code_ranges(program))
    names = tuple(program.tensors) if keep_all else program.outputs
    staged_inputs = [writer.import_tensor(name) for name in program.inputs]
    for instruction in program.instructions:
        ROW_WRITERS[instruction.kernel.operator](writer, instruction)
    staged_outputs = [writer.export_tensor(name) for name in names]
    table, peak = writer.table()
    needed = [
        (int(row[OPCODE]), int(row[INPUT_BYTES]), int(row[OUTPUT_BYTES])) for row in table
    ]
    addresses: dict[tuple[int, int, int], int] = {}
    for entry in dict.fromkeys(needed):
        if progress is not None:
            progress(entry_name(*entry, isa))
        addresses[entry] = entry_address(*entry, isa)
    table[:, KERNEL] = [addresses[entry] for entry in needed]
    # Inputs are staged before the first kernel runs and outputs after the last: kernels' scratch may lie in between.
    scratch_bytes = aligned(writer.scratch_bytes)
    staged = max(_size(staged_inputs), _size(staged_outputs))
    return Plan(
        isa=isa,
        table=table,
        labels=tuple(writer.labels),
        constants=writer.constants.bytes(),
        inputs=_ports(program, program.inputs, staged_inputs, peak),
        outputs=_ports(program, names, staged_outputs, peak),
        peak_bytes=peak,
        total_bytes=sum(
            math.prod(d for d in tensor.shape[1:] if d is not None) * tensor.grid.dtype.itemsize
            for tensor in program.tensors.values()
        ),
        scratch_bytes=scratch_bytes,
        arena_bytes=peak
        + max(staged, threads * scratch_bytes)
        + ALIGNMENT,  # vectors read past it
        threads=threads,
        kernels=tuple(
            str(kernel_for(instruction.kernel, isa)) for instruction in program.instructions
        ),
    )


def _size(staged: Sequence[tuple[int, int]]) -> int:
    return sum(aligned(size) for _, size in staged)


def _ports(
    program: IntegerProgram,
    names: Sequence[str],
    staged: Sequence[tuple[int, int]],
    base: int,
) -> tuple[Port, ...]:
    return tuple(
        Port(
            name=name,
            offset=base + offset,
            size=size,
            shape=tuple(d for d in program.tensors[name].shape[1:] if d is not None),
            dtype=program.tensors[name].grid.dtype.name,
        )
        for name, (offset, size) in zip(names, staged, strict=True)
    )
