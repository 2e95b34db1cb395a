"""Conversions inside compiled loops, against the integer equations; and that no kernel fuses."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from half_programs import RULES

from intlower.compiler.planning.half import rule_flags
from intlower.kernels import half
from intlower.kernels import table as t
from intlower.kernels.entries import ENTRIES, entry_signature
from intlower.kernels.half_rule import HalfRule
from intlower.kernels.isa import ISAS
from intlower.kernels.numerics_half import half_of_float32


@numba.njit  # type: ignore[misc]  # Numba's decorators are not typed here
def rounded_bits(numbers: Any, flags: Any) -> Any:
    before, after, over = half.thresholds(flags)
    result = np.empty(numbers.size, np.uint16)
    for i in range(numbers.size):
        result[i] = half.half_bits(half.round_half(numbers[i], before, after, over))
    return result


@numba.njit  # type: ignore[misc]  # as above
def singles(halves: Any) -> Any:
    result = np.empty(halves.size, np.float32)
    for i in range(halves.size):
        result[i] = half.single_of_half(halves[i])
    return result


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_compiled_rounding_is_equation_h1(rule: HalfRule) -> None:
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 1 << 32, 1 << 18, dtype=np.uint32)
    near = generator.integers(0x33000000, 0x47800000, 1 << 18, dtype=np.uint32)
    both = np.concatenate([bits, near, near & 0xFFFFF000, near | 0x80000FFF])
    compiled = rounded_bits(both.view(np.float32), rule_flags(rule))
    assert np.array_equal(compiled, half_of_float32(both, rule))


def test_every_half_is_widened_exactly() -> None:
    patterns = np.arange(1 << 16).astype(np.uint16)
    halves = patterns.view(np.float16)
    numbers = ~np.isnan(halves)
    expected = halves[numbers].astype(np.float32)
    assert np.array_equal(singles(patterns)[numbers].view(np.uint32), expected.view(np.uint32))
    assert np.isnan(singles(patterns)[~numbers]).all()


def test_no_product_is_fused_with_its_sum() -> None:
    entry = numba.cfunc(entry_signature(ISAS["portable"], 4, 2), error_model="numpy")(
        ENTRIES[t.HALF_DENSE]
    )
    code = entry.inspect_llvm()
    assert "fmul <16 x float>" in code
    assert "llvm.fma" not in code
    assert "fmuladd" not in code
    assert "fast" not in {
        word for line in code.splitlines() if " fmul " in line for word in line.split()
    }
