"""Names become identifiers that differ, and comments that say them."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intlower.backends.export.c.names import check_project_name, identifier_parts, in_comment
from intlower.compiler.errors import ExportError

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(st.lists(NAMES, unique=True, max_size=20))
def test_parts_are_identifiers_and_differ_in_what_c99_tells_apart(names: list[str]) -> None:
    parts = identifier_parts(names)
    assert list(parts) == names
    assert all(re.fullmatch(r"[A-Za-z0-9]+(_[A-Za-z0-9]+)*", part) for part in parts.values())
    assert len({f"multiplier_{part}"[:63] for part in parts.values()}) == len(names)


@given(
    st.lists(
        st.sampled_from(["a", "a_2", "A", "a.2", "a 2 2", "a_2_2", "é", "ü", ""]), unique=True
    )
)
def test_parts_of_names_that_look_alike_differ(names: list[str]) -> None:
    assert len(set(identifier_parts(names).values())) == len(names)


@given(NAMES)
def test_a_comment_gives_the_name_back_and_cannot_end_early(name: str) -> None:
    comment = in_comment(name)
    assert unquote(comment) == name
    assert comment.isascii()
    assert not set(comment) & set("*\\?\n\r\0")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "9",
        "Net",
        "../x",
        "a/b",
        "a b",
        "int__x",
        "x" * 21,
        "string",
        "weights",
        "il",
        "tensor_2",
    ],
)
def test_a_project_name_that_is_unsafe_is_refused(name: str) -> None:
    with pytest.raises(ExportError) as caught:
        check_project_name(name)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["model", "int", "resnet8", "my_net_2", "weight"])
def test_other_project_names_are_taken(name: str) -> None:
    check_project_name(name)
