from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_compiler import needs_compiler
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from small_programs import classifier
from strategies import UNIFORM_OPERATORS, draw_codes, programs

from intlower.backends.export.c.emitters import EMITTERS
from intlower.compiler.artifact import save
from intlower.compiler.constant import Constant
from intlower.compiler.crosscheck import random_inputs, verify
from intlower.compiler.errors import IntlowerError
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import run_reference
from intlower.kernels.signature import ElementType
from intlower.witnesses import c
from intlower.witnesses.c import CWitness, run_c

ELEMENTS = (ElementType.INT8, ElementType.UINT8, ElementType.INT16, ElementType.UINT16)
OPERATORS = sorted(set(UNIFORM_OPERATORS) & set(EMITTERS))


@needs_compiler
def test_every_tensor_is_the_oracles() -> None:
    @settings(
        max_examples=2,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(programs(ELEMENTS, operators=OPERATORS), st.integers(0, 2**32 - 1))
    def check(program: IntegerProgram, seed: int) -> None:
        codes = draw_codes(program, seed, 0)
        expected = run_reference(program, codes, keep_all=True)
        found = run_c(program, codes, keep_all=True)
        assert set(found) == set(expected)
        for name, array in expected.items():
            assert found[name].dtype == array.dtype
            assert np.array_equal(found[name], array)

    check()


@needs_compiler
def test_verify_counts_no_difference_and_finds_a_planted_one() -> None:
    program = classifier()
    inputs = random_inputs(program, 3)
    weights = program.instructions[-1].constants["weights"].array.copy()
    weights[1, 2] += 1
    last = program.instructions[-1]
    wrong = replace(last, constants={**last.constants, "weights": Constant.of(weights)})
    altered = replace(program, instructions=(*program.instructions[:-1], wrong))
    with CWitness(program, keep_all=True) as right, CWitness(altered, keep_all=True) as other:
        found = verify(program, inputs, (), others={"c": right.run, "altered": other.run})
    assert found["c"].compared > 0
    assert found["c"].mismatches == 0
    first = found["altered"].first
    assert found["altered"].mismatches > 0
    assert first is not None
    assert (first.engine, first.instruction) == ("altered", "classify")


@needs_compiler
def test_the_command_verifies_against_c(cli: Any, tmp_path: Path) -> None:
    save(classifier(), tmp_path / "net.onnx")
    document = cli("verify", tmp_path / "net.onnx", "--against", "c", "--json").document
    assert document["c"]["compared"] > 0
    assert document["c"]["mismatches"] == 0
    assert list(tmp_path.iterdir()) == [tmp_path / "net.onnx"]


def test_without_a_compiler_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(c.shutil, "which", lambda command: None)
    with pytest.raises(IntlowerError, match="no C compiler") as caught:
        CWitness(classifier())
    assert "gcc" in caught.value.hint


@needs_compiler
def test_a_failing_compiler_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c, "FLAGS", ("-no-such-flag",))
    with pytest.raises(IntlowerError, match="cc: ") as caught:
        CWitness(classifier())
    assert "\n" not in str(caught.value)
