from __future__ import annotations

from pathlib import Path

import pytest

from intlower.compiler.discovery import load_family, target_names
from intlower.contract_pages import contract_page

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "targets"


@pytest.mark.parametrize("name", target_names())
def test_the_page_of_a_target_says_what_the_target_says(name: str) -> None:
    page = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    assert page == contract_page(load_family(name)), (
        "run: intlower targets --write docs/targets"
    )


def test_no_page_is_left_of_a_target_that_is_gone() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == set(target_names())


def test_an_option_shows_what_it_changes() -> None:
    page = contract_page(load_family("nart_arm"))
    assert "### bits=4" in page
    assert "codes 0..15" in page
