from __future__ import annotations

from pathlib import Path

import pytest

from intlower.compiler.errors import ExportError
from intlower.folders import write_folder

FILES = {"a.txt": b"a", "deep/b.txt": b"b"}


def listed(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_new_folder_holds_the_files_and_nothing_else(tmp_path: Path) -> None:
    paths = write_folder(FILES, tmp_path / "out")
    assert listed(tmp_path) == ["out/a.txt", "out/deep/b.txt"]
    assert [path.read_bytes() for path in paths] == [b"a", b"b"]


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    write_folder({"a.txt": b"old", "mine.txt": b"mine"}, tmp_path / "out")
    with pytest.raises(ExportError, match=r"out/a\.txt exists") as caught:
        write_folder(FILES, tmp_path / "out")
    assert "--force" in caught.value.hint
    assert (tmp_path / "out/a.txt").read_bytes() == b"old"
    assert listed(tmp_path) == ["out/a.txt", "out/mine.txt"]
    write_folder(FILES, tmp_path / "out", force=True)
    assert listed(tmp_path) == ["out/a.txt", "out/deep/b.txt", "out/mine.txt"]
    assert (tmp_path / "out/a.txt").read_bytes() == b"a"


def test_files_join_a_folder_that_has_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    write_folder(FILES, tmp_path)
    assert listed(tmp_path) == ["a.txt", "deep/b.txt", "mine.txt"]


@pytest.mark.parametrize("path", ["../a.txt", "/a.txt", "deep/../../a.txt", ""])
def test_no_path_leads_out_of_the_folder(path: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="not a path inside"):
        write_folder({path: b""}, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ExportError, match="leads out"):
        write_folder({"sub/a": b"1"}, tmp_path / "out", force=True)
    assert not any((tmp_path / "elsewhere").iterdir())


def test_a_file_in_the_way_and_a_missing_parent_are_errors(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(NotADirectoryError):
        write_folder(FILES, tmp_path / "out", force=True)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        write_folder(FILES, tmp_path / "missing" / "out")
    assert listed(tmp_path) == ["out"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_folder({"a.txt": b"a", "b.txt": "no bytes"}, tmp_path / "out")  # type: ignore[dict-item]
    assert list(tmp_path.iterdir()) == []
