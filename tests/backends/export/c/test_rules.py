"""The equations in C against those of `numerics`, in Python's unbounded integers, at ties and extremes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from c_compiler import needs_compiler, run_source, sanitizing

from intlower.backends.export.c.pieces import in_order
from intlower.backends.export.c.rules import RULES
from intlower.kernels import numerics_sums as sums
from intlower.kernels.reference import SCALE_RULES
from intlower.kernels.signature import Requantize

INT32 = (-(1 << 31), (1 << 31) - 1)


def accumulators(generator: np.random.Generator) -> list[int]:
    """Return extremes, small numbers (ties), numbers about the 24 bits of a float, and random ones."""
    near = [sign * (1 << 24) + d for sign in (-1, 1) for d in range(-3, 4)]
    return [*INT32, *range(-6, 7), *near, *generator.integers(*INT32, 40).tolist()]


def cases(rule: Requantize) -> list[tuple[int, int, int]]:
    generator = np.random.default_rng(1)
    bits = 24 if rule is Requantize.F32EVEN else 31
    multipliers = [0, 1 << (bits - 1), 3 << (bits - 2), (1 << bits) - 1]
    shifts = [1, 2, 14, 23, 24, 25, 30, 31, 32, 33, 47, 61, 62]
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
    listed = ",\n".join("{" + ", ".join(map(c_int64, row)) + "}" for row in rows)
    run_rows(f"{RULES[rule].scale.name}(r[0], r[1], (int32_t)r[2])", rule, listed, tmp_path)


@needs_compiler
@pytest.mark.parametrize("rule", list(RULES))
def test_a_sum_rule_is_its_equation(rule: Requantize, tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    codes = [-65535, -255, -3, -2, -1, 0, 1, 2, 3, 255, 65535]
    rows = []
    for a, b in itertools.product(codes, codes):
        for _ in range(6):
            if rule is Requantize.F32EVEN:
                m = [*generator.integers(1 << 23, 1 << 24, 2).tolist(), 0]
                low = int(generator.integers(1, 48))
                s = [*(low + generator.integers(0, 15, 2)).tolist(), 1]
                left = 0
                y = int(sums.sum_float32(a, m[0], s[0], b, m[1], s[1]))
            elif rule is Requantize.MUL31SINGLE:
                left = 0
                m = [*generator.integers(0, 1 << 31, 2).tolist(), 0]
                s = [*generator.integers(0, 63, 2).tolist(), int(generator.integers(0, 20))]
                y = int(sums.sum_single_rounding(a, m[0], s[0], b, m[1], s[1], s[2]))
            else:
                left = 13
                m = generator.integers(1 << 30, 1 << 31, 3).tolist()
                s = generator.integers(31, 63, 3).tolist()
                y = int(
                    sums.sum_double_rounding(a, m[0], s[0], b, m[1], s[1], m[2], s[2], left)
                )
            rows.append((a, b, m[0], s[0], m[1], s[1], m[2], s[2], left, y))
    listed = ",\n".join("{" + ", ".join(map(c_int64, row)) + "}" for row in rows)
    members = ", ".join(f"(int32_t)r[{i}]" for i in range(2, 9))
    call = f"{RULES[rule].total.name}(r[0], r[1], &(il_addends){{{members}}})"
    run_rows(call, rule, listed, tmp_path)


def run_rows(call: str, rule: Requantize, listed: str, folder: Path) -> None:
    """Compile a call with the rule's functions; the last number of a row is what it must give."""
    name = call.partition("(")[0]
    piece = next(p for p in (RULES[rule].scale, RULES[rule].total) if p.name == name)
    functions = "\n".join(part.text for part in in_order([piece]))
    width = listed.partition("}")[0].count(",") + 1
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
        failures += {call} != r[{width - 1}];
    }}
    printf("%d\\n", failures);
    return 0;
}}
"""
    assert run_source(source, folder, ("-O1", *sanitizing(folder))) == "0\n"
