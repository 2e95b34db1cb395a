"""Runs of the engine that show a read or a write outside its memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from intlower.compiler import execution
from intlower.compiler.planning.layout import ALIGNMENT
from intlower.compiler.planning.rows import aligned_bytes
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import open_program, run_reference

# Bytes on either side of an arena; kernels that leave it by one row of a small image land here.
_MARGIN = 64 * ALIGNMENT


def run_with_canaries(
    program: IntegerProgram, codes: Mapping[str, NDArray[Any]], filler: int
) -> dict[str, NDArray[Any]]:
    """Return the engine's output codes; its memory lies between canaries and is filled like them before it is used.

    A write past either end changes a canary; a read of what was not written gives other codes for another filler.

    Args:
        program: what to run.
        codes: of its inputs.
        filler: the byte that all is filled with.
    """
    whole: list[NDArray[np.uint8]] = []

    def guarded(size: int) -> NDArray[np.uint8]:
        buffer = aligned_bytes(size + 2 * _MARGIN)
        buffer[:] = filler
        whole.append(buffer)
        return buffer[_MARGIN : _MARGIN + size]

    with mock.patch.object(execution, "aligned_bytes", guarded):
        results = open_program(program).run(codes)
    for buffer in whole:
        assert (buffer[:_MARGIN] == filler).all()
        assert (buffer[-_MARGIN:] == filler).all()
    assert whole
    return results


def prove_bounds(program: IntegerProgram, codes: Mapping[str, NDArray[Any]]) -> None:
    """Prove that a program stays inside its memory and gives the oracle's codes."""
    expected = run_reference(program, codes)
    for filler in (0xA5, 0x5A):
        results = run_with_canaries(program, codes, filler)
        for name in program.outputs:
            bits = f"u{expected[name].dtype.itemsize}"
            assert np.array_equal(results[name].view(bits), expected[name].view(bits)), name
