"""The C project computes the oracle's integers, for every operator, rule and type."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from c_compiler import differences, needs_compiler, sanitizing, write
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from small_programs import classifier
from strategies import draw_codes, instructions, programs

from intlower.backends.export.c.emitters import EMITTERS
from intlower.backends.export.c.project import export_c
from intlower.backends.export.c.rules import RULES
from intlower.backends.export.c.vectors import GoldenVectors
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import run_reference
from intlower.kernels.signature import ElementType, Requantize

EIGHT_BITS = (ElementType.INT8, ElementType.UINT8)
SIXTEEN_BITS = (ElementType.INT16, ElementType.UINT16)

# One example is a whole build, so a smaller one is not looked for: the failing project's name says its number.
few_builds = functools.partial(
    settings,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


def by_the_oracle(program: IntegerProgram, seed: int, mode: int) -> GoldenVectors:
    codes = draw_codes(program, seed, mode)
    return GoldenVectors(inputs=codes, outputs=run_reference(program, codes))


def differing(cases: list[IntegerProgram], folder: Path, seed: int) -> dict[str, int]:
    """Return the projects with differing integers."""
    projects = {
        f"case{i}": export_c(
            program, name=f"case{i}", vectors=by_the_oracle(program, seed + i, i % 4)
        )
        for i, program in enumerate(cases)
    }
    found = differences(projects, folder, ("-O1", *sanitizing(folder.parent)))
    assert all(compared for compared, _ in found.values())
    return {name: different for name, (_, different) in found.items() if different}


@needs_compiler
@pytest.mark.parametrize("rule", sorted(RULES, key=lambda rule: rule.value))
@pytest.mark.parametrize("elements", [EIGHT_BITS, SIXTEEN_BITS], ids=["8bit", "16bit"])
def test_every_operator_gives_the_oracles_integers(
    rule: Requantize, elements: tuple[ElementType, ...], tmp_path: Path
) -> None:
    @few_builds(max_examples=2)
    @given(
        st.tuples(*(instructions(o, elements, [rule]) for o in sorted(EMITTERS))),
        st.integers(0, 2**32 - 9),
    )
    def check(cases: tuple[IntegerProgram, ...], seed: int) -> None:
        assert differing(list(cases), tmp_path, seed) == {}

    check()
