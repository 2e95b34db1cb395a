"""The equations in C against those of `numerics`, in Python's unbounded integers, at ties and extremes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from c_compiler import needs_compiler, run_source, sanitizing

from intlower.backends.export.c.pieces import Piece, in_order
from intlower.backends.export.c.rules import RULES
from intlower.kernels import numerics
from intlower.kernels.reference import SCALE_RULES, SUM_RULES
from intlower.kernels.signature import Requantize

INT32 = (-(1 << 31), (1 << 31) - 1)


def accumulators(generator: np.random.Generator) -> list[int]:
    """Return extremes, small numbers (ties), numbers about the 24 bits of a float, and random ones."""
    near = [sign * (1 << 24) + d for sign in (-1, 1) for d in range(-3, 4)]
    return [*INT32, *range(-6, 7), *near, *generator.integers(*INT32, 40).tolist()]


def cases(rule: Requantize) -> list[tuple[int, int, int]]:
    generator = np.random.default_rng(1)
    bits = 24 if rule.single_precision else 31
    multipliers = [0, 1 << (bits - 1), 3 << (bits - 2), (1 << bits) - 1]
    shifts = [1, 2, 14, 23, 24, 25, 30, 31, 32, 33, 47, 61, 62]
    if rule.power_of_two:
        multipliers, shifts = [1, 2, 1 << 9, 1 << 30], [0, *shifts]
    found = list(itertools.product(accumulators(generator), multipliers, shifts))
    if rule is Requantize.MUL31DOUBLE:  # its precondition, which lowering proves
        found = [c for c in found if INT32[0] <= c[0] << max(31 - c[2], 0) <= INT32[1]]
    return found


def c_int64(value: int) -> str:
    return f"({value + 1}LL - 1)"


@needs_compiler
@pytest.mark.parametrize("rule", list(RULES))
def test_a_scale_rule_is_its_equation(rule: Requantize, tmp_path: Path) -> None:
    scale: Callable[[int, int, int], int] = SCALE_RULES[rule]
    rows = [(a, m, s, int(scale(a, m, s))) for a, m, s in cases(rule)]
    run_rows(RULES[rule].scale, "r[0], r[1], (int32_t)r[2]", rows, tmp_path)


@needs_compiler
def test_the_biased_rule_is_its_equation(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    rows = []
    for a, m, s in cases(Requantize.F32BIAS):
        for bias in (0, 1, -(1 << 23), int(generator.integers(-(1 << 24), 1 << 24)), 3 << 28):
            if INT32[0] <= a + bias <= INT32[1]:
                y = int(numerics.scale_float32_biased(a, bias, m, s))
                rows.append((a, bias, m, s, y))
    piece = RULES[Requantize.F32BIAS].biased
    assert piece is not None
    run_rows(piece, "r[0], r[1], r[2], (int32_t)r[3]", rows, tmp_path)


@needs_compiler
@pytest.mark.parametrize("mantissa", [1 << 23, (1 << 24) - 1, 0xABCDEF])
def test_single_precision_is_its_equation_about_every_tie(
    mantissa: int, tmp_path: Path
) -> None:
    """Accumulators whose scaled value lies next to a tie, where it matters that roundings are two."""
    ties = itertools.product(range(22, 48), (0, 1, 2, 5, 100, 4095), range(-4, 5), (-1, 1))
    near = [(s, sign * (((2 * k + 1) << (s - 1)) // mantissa + d)) for s, k, d, sign in ties]
    rows = [
        (a, mantissa, shift, int(numerics.scale_float32(a, mantissa, shift)))
        for shift, a in near
        if INT32[0] <= a <= INT32[1]
    ]
    plain = RULES[Requantize.F32EVEN].scale
    run_rows(plain, "r[0], r[1], (int32_t)r[2]", rows, tmp_path)


def scales_of_sums(
    rule: Requantize, generator: np.random.Generator
) -> tuple[list[int], list[int], int]:
    """Return multipliers, shifts and the left shift of a sum that the rule admits."""
    if rule.single_precision:
        low = int(generator.integers(1, 48))
        return (
            generator.integers(1 << 23, 1 << 24, 2).tolist(),
            (low + generator.integers(0, 15, 2)).tolist(),
            0,
        )
    if rule.power_of_two:
        powers = (1 << generator.integers(0, 31, 2)).tolist()
        return powers, generator.integers(0, 63, 1).tolist(), 0
    if rule is Requantize.MUL31SINGLE:
        bits = int(generator.integers(1, 32))
        multipliers = generator.integers(0, 1 << bits, 2).tolist()
        shifts = generator.integers(0, 40, 3)
        return multipliers, shifts.tolist(), 0
    multipliers = generator.integers(1 << 30, 1 << 31, 3).tolist()
    return multipliers, generator.integers(31, 63, 3).tolist(), 13


@needs_compiler
@pytest.mark.parametrize("rule", list(RULES))
def test_a_sum_rule_is_its_equation(rule: Requantize, tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    codes = [-65535, -255, -3, -2, -1, 0, 1, 2, 3, 255, 65535]
    rows = []
    for a, b in itertools.product(codes, codes):
        for _ in range(6):
            m, s, left = scales_of_sums(rule, generator)
            y = int(SUM_RULES[rule](a, b, m, s, left))
            shifts = [0, 0, *s] if len(s) == 1 else [*s, 0]
            factors = [*m, 0]
            scales = (
                number for stage in zip(factors, shifts, strict=False) for number in stage
            )
            rows.append((a, b, *list(scales)[:6], left, y))
    members = ", ".join(f"(int32_t)r[{i}]" for i in range(2, 9))
    run_rows(RULES[rule].total, f"r[0], r[1], &(il_addends){{{members}}}", rows, tmp_path)


def run_rows(
    piece: Piece, arguments: str, rows: Sequence[tuple[int, ...]], folder: Path
) -> None:
    """Compile a call of a function; the last number of a row is what it must give."""
    functions = "\n".join(part.text for part in in_order([piece]))
    listed = ",\n".join("{" + ", ".join(map(c_int64, row)) + "}" for row in rows)
    width = len(rows[0])
    source = f"""\
#include <stdint.h>
#include <stdio.h>
{functions}
static const int64_t rows[][{width}] = {{
{listed}
}};
int main(void)
{{
    int failures = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {{
        const int64_t *r = rows[i];
        failures += {piece.name}({arguments}) != r[{width - 1}];
    }}
    printf("%d\\n", failures);
    return 0;
}}
"""
    assert run_source(source, folder, ("-O1", *sanitizing(folder))) == "0\n"
