"""The logarithmic equations in C against those of `numerics_log`, and operators at extreme numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_compiler import differences, needs_compiler, run_source, sanitizing
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from log_programs import LOG_OPERATORS, log_instruction
from small_programs import ORIGIN, instruction

from intlower.backends.export.c.logarithmic_texts import LOG_PRODUCT, READ_OUT
from intlower.backends.export.c.pieces import Piece, in_order
from intlower.backends.export.c.project import export_c
from intlower.backends.export.c.vectors import GoldenVectors
from intlower.compiler.constant import Constant
from intlower.compiler.crosscheck import random_inputs
from intlower.compiler.grids import linear_grid
from intlower.compiler.program import IntegerProgram, Tensor
from intlower.compiler.simulator import run_reference
from intlower.kernels.numerics_log import FORMATS, LINEAR_HIGH, LINEAR_LOW, mantissas, read_out
from intlower.kernels.reference_log import products


def failures(
    piece: Piece, head: str, call: str, rows: list[tuple[int, ...]], folder: Path
) -> str:
    """Return how many rows a function fails; the last number of a row is what it must give."""
    functions = "\n".join(part.text for part in in_order([piece]))
    listed = ",\n".join("{" + ", ".join(map(str, row)) + "}" for row in rows)
    width = len(rows[0])
    source = f"""\
#include <stdint.h>
#include <stdio.h>
{functions}
{head}
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
    return run_source(source, folder, ("-O1", *sanitizing(folder)))


@needs_compiler
def test_the_read_out_is_its_equation(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    greatest = (1 << 62) - 1
    sums = [
        -greatest,
        greatest,
        *range(-4, 5),
        *generator.integers(-greatest, greatest, 40).tolist(),
    ]
    sums += [
        sign * (1 << bit) + d for bit in (17, 34, 50) for sign in (-1, 1) for d in (-1, 0, 1)
    ]
    scales = itertools.product((1 << 13, 1 << 14, (1 << 15) - 1), range(-18, 80))
    rows = [(a, m, s, read_out(a, m, s)) for (m, s), a in itertools.product(scales, sums)]
    call = "il_read_out(r[0], r[1], (int32_t)r[2])"
    assert failures(READ_OUT, "", call, rows, tmp_path) == "0\n"


@needs_compiler
@pytest.mark.parametrize("bits", FORMATS)
def test_a_product_is_its_equation(bits: int, tmp_path: Path) -> None:
    layout = FORMATS[bits]
    table = mantissas(layout)
    generator = np.random.default_rng(bits)
    ends = [0, 1, layout.magnitudes - 1, layout.magnitudes, layout.magnitudes + 1]
    codes = np.array([*ends, layout.codes - 1, *generator.integers(0, layout.codes, 40)])
    looked_up = np.array(
        [
            (table[k % layout.steps] << (k // layout.steps)) >> layout.product_shift
            for k in range(2 * layout.magnitudes)
        ]
    )
    expected = products(codes[:, None], codes[None], looked_up, layout)
    rows = [
        (int(a), int(w), int(expected[i, j]))
        for (i, a), (j, w) in itertools.product(enumerate(codes), enumerate(codes))
    ]
    members = {
        "mantissas": "t",
        "step_bits": layout.step_bits,
        "magnitude_bits": layout.magnitude_bits,
        "product_shift": layout.product_shift,
    }
    listed = ", ".join(f".{name} = {value}" for name, value in members.items())
    head = f"static const uint16_t t[] = {{{', '.join(map(str, table))}}};\n"
    head += f"static const il_log_scale scale = {{{listed}}};\n"
    call = "il_log_product((int32_t)r[0], (int32_t)r[1], &scale)"
    assert failures(LOG_PRODUCT, head, call, rows, tmp_path) == "0\n"


def linear_program(
    kernel: str, inputs: int, output: tuple[int, ...], **rest: Any
) -> IntegerProgram:
    names = tuple(f"x{i}" for i in range(inputs))
    shapes = {**dict.fromkeys(names, (2, 4, 5)), "y": output}
    return IntegerProgram(
        target="test",
        inputs=names,
        outputs=("y",),
        tensors={
            name: Tensor(name=name, shape=(None, *sizes), grid=linear_grid())
            for name, sizes in shapes.items()
        },
        instructions=(instruction(kernel, "step", names, "y", **rest),),
        origin=ORIGIN,
    )


@needs_compiler
def test_linear_numbers_at_their_ends_are_the_oracles(tmp_path: Path) -> None:
    limits = {"minimum": -(1 << 30), "maximum": LINEAR_HIGH}
    window = {"kernel_shape": (2, 3), "strides": (2, 1), "pads": (1, 0, 0, 1)}
    counts = Constant.of(np.arange(1, 9).reshape(2, 4), np.int32)
    programs: dict[str, Callable[[], IntegerProgram]] = {
        "add": lambda: linear_program("linear_add_s32", 2, (2, 4, 5), **limits),
        "clamp": lambda: linear_program("linear_clamp_s32", 1, (2, 4, 5), **limits),
        "mean": lambda: linear_program(
            "linear_average_pool_s32",
            1,
            (2, 2, 4),
            constants={"counts": counts},
            **window,
            **limits,
        ),
    }
    generator = np.random.default_rng(7)
    projects = {}
    for name, make in programs.items():
        program = make()
        ends = [LINEAR_LOW, LINEAR_LOW + 1, -3, 0, 5, LINEAR_HIGH]
        codes = {
            x: generator.choice(ends, (3, 2, 4, 5)).astype(np.int32) for x in program.inputs
        }
        vectors = GoldenVectors(inputs=codes, outputs=run_reference(program, codes))
        projects[name] = export_c(program, name=name, vectors=vectors)
    found = differences(projects, tmp_path, ("-O0", *sanitizing(tmp_path)))
    assert all(compared > 0 and different == 0 for compared, different in found.values())


@needs_compiler
def test_every_logarithmic_operator_gives_the_oracles_integers(tmp_path: Path) -> None:
    cases = itertools.product(LOG_OPERATORS, FORMATS)

    @settings(
        max_examples=1,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.tuples(
            *(
                st.composite(log_instruction)(operator, bits)
                for operator, bits in cases
                for _ in range(3)
            )
        ),
        st.integers(0, 2**32 - 1),
    )
    def check(programs: tuple[IntegerProgram, ...], seed: int) -> None:
        projects = {}
        for number, program in enumerate(programs):
            codes = random_inputs(program, 4, seed)
            vectors = GoldenVectors(inputs=codes, outputs=run_reference(program, codes))
            projects[f"case{number}"] = export_c(program, name=f"case{number}", vectors=vectors)
        found = differences(projects, tmp_path, ("-O0", *sanitizing(tmp_path)))
        assert {name: pair for name, pair in found.items() if pair[1]} == {}

    check()
