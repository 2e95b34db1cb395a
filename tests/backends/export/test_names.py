from __future__ import annotations

import re

import pytest
import small_programs
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.backends.export.format import ANY_NAME
from intlower.backends.export.names import safe_names, with_safe_names
from intlower.compiler.program import IntegerProgram


@settings(max_examples=50)
@given(names=st.lists(st.text(max_size=4), unique=True), longest=st.integers(1, 5))
def test_safe_names_are_safe_unique_and_reversible(names: list[str], longest: int) -> None:
    safe = safe_names(names, "[a-c_0-9]", longest)
    assert list(safe) == names
    assert len(set(safe.values())) == len(names)
    for name, replaced in safe.items():
        assert re.fullmatch("[a-c_0-9]+", replaced)
        if re.fullmatch("[a-c_0-9]+", name) and len(name) <= longest:
            assert replaced == name


@settings(deadline=None, max_examples=20)
@given(program=strategies.programs())
def test_a_renamed_program_has_the_same_numbers(program: IntegerProgram) -> None:
    renamed = with_safe_names(program, "[0-9]").program
    for before, after in zip(program.instructions, renamed.instructions, strict=True):
        assert re.fullmatch("[0-9_]+", after.name)
        assert after.kernel == before.kernel
        assert after.constants == before.constants
    assert [t.grid for t in renamed.tensors.values()] == [
        t.grid for t in program.tensors.values()
    ]


def test_the_original_names_can_be_had_back() -> None:
    program = small_programs.classifier()
    safe = with_safe_names(program, "[a-h]")
    back = [safe.originals.get(name, name) for name in safe.program.tensors]
    assert back == list(program.tensors)
    host = safe.program.host[0]
    assert (safe.originals[host.input], safe.originals[host.output]) == (
        "logits",
        "probabilities",
    )


def test_a_program_whose_names_will_do_is_not_changed() -> None:
    program = small_programs.classifier()
    safe = with_safe_names(program, ANY_NAME)
    assert safe.program is program
    assert safe.originals == {}


@pytest.mark.parametrize("name", ["a\nb", "a\x00", "\x1b[2J"])
def test_no_format_takes_control_characters(name: str) -> None:
    assert safe_names([name], ANY_NAME)[name] != name
