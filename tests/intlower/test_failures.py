from __future__ import annotations

import errno

import click
import pytest

from intlower.compiler.errors import (
    ArtifactError,
    DataError,
    SimulationMismatch,
    UnknownTarget,
)
from intlower.failures import describe

MISMATCH = SimulationMismatch(
    instruction="conv", index=(0, 1), expected=3, actual=4, against="onnxruntime"
)


@pytest.mark.parametrize(
    ("error", "code", "message", "hint"),
    [
        (UnknownTarget("a", ["b"]), 2, "unknown target 'a'", "installed targets: b"),
        (MISMATCH, 1, "onnxruntime differs first at conv[0, 1]: 4 instead of 3", "report"),
        (DataError("no"), 2, "no", "one array for each input"),
        (ArtifactError("two\nlines"), 2, "two lines", "--help"),
        (click.UsageError("what?"), 2, "what?", "see 'intlower --help'"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), 2, "x: no such file", "path"),
        (OSError(errno.ENOSPC, "No space", "x"), 2, "x: no space", "free some space"),
        (OSError("odd"), 2, "odd", "permissions"),
        (ModuleNotFoundError("no", name="torch"), 2, "'torch' is not installed", "pip install"),
        (ModuleNotFoundError("no", name="intlower.x"), 2, "internal error", "--traceback"),
        (MemoryError(), 2, "not enough memory", "--count"),
        (KeyError("name"), 2, "internal error: KeyError: 'name'", "--traceback"),
        (AssertionError(), 2, "internal error: AssertionError", "--traceback"),
    ],
)
def test_every_error_has_one_line_a_hint_and_an_exit_code(
    error: Exception, code: int, message: str, hint: str
) -> None:
    failure = describe(error)
    assert failure.exit_code == code
    assert message in failure.message
    assert hint in failure.hint
    assert "\n" not in failure.message + failure.hint
    assert failure.document()["error"]["type"] == type(error).__name__


def test_a_name_cannot_drive_the_terminal() -> None:
    failure = describe(ArtifactError("\x1b[2J\r\x07name", "a\x00b"))
    assert (failure.message + failure.hint).isprintable()
