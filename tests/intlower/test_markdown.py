from __future__ import annotations

from pathlib import Path

import pytest

from intlower.compiler.errors import DataError
from intlower.markdown import markdown_table, write_marked

PLACE = "<!-- here -->\nold\n<!-- /here -->"


def test_only_the_marked_place_changes(tmp_path: Path) -> None:
    path = tmp_path / "file.md"
    path.write_bytes(f"a\r\n{PLACE}\r\nü\n".encode())
    path.chmod(0o640)
    for _ in range(2):  # the second writing finds what the first one left
        write_marked(path, "here", "new")
        assert path.read_bytes() == "a\r\n<!-- here -->\nnew\n<!-- /here -->\r\nü\n".encode()
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "text",
    ["", "<!-- here -->", "<!-- /here -->\n<!-- here -->", f"{PLACE}\n{PLACE}"],
    ids=["none", "open", "reversed", "twice"],
)
def test_a_place_that_is_not_there_once_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.md"
    path.write_text(text)
    with pytest.raises(DataError, match="there is not one place"):
        write_marked(path, "here", "new")
    assert path.read_text() == text


def test_what_would_break_a_table_is_escaped() -> None:
    lines = markdown_table(["name", "n"], [["a|b\nc", "1"]], ["n"]).splitlines()
    assert lines == ["| name | n |", "| --- | ---: |", "| a\\|b c | 1 |"]
