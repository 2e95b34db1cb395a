from __future__ import annotations

import io
import sys

import pytest

from intlower.terminal import print_error, print_facts, print_json, print_table, progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_row_stays_on_one_line_where_stdout_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(("name", "number"), [("x" * 500, 7), ("[b]y[/b]", 8)], numeric=("number",))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[2].split() == ["x" * 500, "7"]
    assert lines[3].split() == ["[b]y[/b]", "8"]
    assert all(line == line.rstrip() for line in lines)


def test_a_cell_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts({"na\nme": "\x1b[2Jvalue"})
    out = capsys.readouterr().out
    assert out.split() == ["na", "me", "\\x1b[2Jvalue"]


def test_results_go_to_stdout_and_errors_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": 1})
    print_error("no\nway", "try again")
    captured = capsys.readouterr()
    assert captured.out == '{\n  "a": 1\n}\n'
    assert captured.err == "error: no way\nhint: try again\n"


def test_progress_is_silent_where_stderr_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress("work") as shown:
        shown.stage("more work")
        shown.count(1, 2)
    assert capsys.readouterr() == ("", "")


def test_progress_shows_stage_count_and_time_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    with progress("work") as shown:
        shown.stage("more work")
        shown.count(1, 2)
    assert "more work" in screen.getvalue()
    assert "1/2" in screen.getvalue()
    assert "0:00:00" in screen.getvalue()
