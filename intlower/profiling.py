"""Where a program's time goes: its kernels one by one, and what the processor could do at most."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from intlower.benchmarking import Timing, alternate
from intlower.compiler.execution import Execution
from intlower.compiler.plan import make_plan
from intlower.compiler.program import IntegerProgram
from intlower.kernels import peak
from intlower.kernels.isa import Isa
from intlower.kernels.library import entry_name
from intlower.kernels.table import (
    DENSE,
    DENSE_BYTES,
    DEPTHWISE,
    DEPTHWISE_PAIRS,
    INPUT_BYTES,
    OPCODE,
    OUTPUT_BYTES,
    WINOGRAD,
)

# Turns of the peak loop in one run, about a millisecond: short enough to escape interruptions now and then.
PEAK_ROUNDS = 300_000

_PRODUCTS = (DENSE, DENSE_BYTES, DEPTHWISE, DEPTHWISE_PAIRS, WINOGRAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One kernel call of a program.

    Attributes:
        label: the instruction it belongs to, or the input or output that it converts.
        entry: what is called, in words.
        multiply_accumulates: of one sample; 0 where the kernel sums no products.
        run: calls it, alone, on the memory that the program would use.
    """

    label: str
    entry: str
    multiply_accumulates: int
    run: Callable[[], object]

    @property
    def sums_products(self) -> bool:
        """Whether it is a convolution or a matrix product."""
        return self.multiply_accumulates > 0


def steps(program: IntegerProgram, isa: Isa, threads: int = 1) -> tuple[Step, ...]:
    """Return the kernel calls of a program for one sample, in order, each ready to run.

    Each step is a plan of one row, so that every call pays for one entry from Python: some microseconds, which matter
    for the smallest kernels only. What it computes on is whatever the memory holds; no kernel's time depends on it.
    """
    plan = make_plan(program, isa, threads)
    work = {
        instruction.name: instruction.constants["weights"].array.size
        * math.prod(d for d in program.tensors[instruction.output].shape[2:] if d is not None)
        for instruction in program.instructions
        if "weights" in instruction.constants
    }
    sample = {"sample": np.zeros(1, np.uint8)}

    def step(index: int, label: str) -> Step:
        row = plan.table[index]
        opcode = int(row[OPCODE])
        alone = replace(plan, table=plan.table[index : index + 1], inputs=(), outputs=())
        execution = Execution(alone, program.multiply_accumulates())
        return Step(
            label=label,
            entry=entry_name(opcode, int(row[INPUT_BYTES]), int(row[OUTPUT_BYTES]), isa),
            multiply_accumulates=work[label] if opcode in _PRODUCTS else 0,
            run=lambda: execution.run(sample),
        )

    return tuple(step(index, label) for index, label in enumerate(plan.labels))


def profile(
    program: IntegerProgram, isa: Isa, *, threads: int = 1, seconds: float = 2.0
) -> tuple[tuple[Step, Timing], ...]:
    """Return every kernel call with its times; they take turns, so that caches are as warm as in the program.

    Args:
        program: whose calls they are.
        isa: whose kernels run.
        threads: on each call.
        seconds: to spend on all.
    """
    called = steps(program, isa, threads)
    timings = alternate(
        {str(index): step.run for index, step in enumerate(called)},
        seconds=seconds / len(called),
    )
    return tuple((step, timings[str(index)]) for index, step in enumerate(called))


def peak_run(isa: Isa, threads: int = 1) -> tuple[Callable[[], object], int] | None:
    """Return a run of the instruction set's dot products on registers alone, and its multiply-accumulates.

    Returns:
        None where the instruction set has no such instruction.
    """
    if not peak.measurable(isa):
        return None
    spin = peak.spinner(isa)
    work = threads * peak.multiply_accumulates(isa, PEAK_ROUNDS)
    if threads == 1:
        return lambda: spin(PEAK_ROUNDS), work
    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(spin, [PEAK_ROUNDS] * threads)), work


def giga_operations(multiply_accumulates: int, milliseconds: float) -> float:
    """Return 10**9 operations in a second; a multiply-accumulate is two.

    >>> giga_operations(500_000_000, 10.0)
    100.0
    """
    return 2 * multiply_accumulates / milliseconds / 1e6
