"""What the command line says when something goes wrong: one `error:` line, one `hint:` line, an exit code."""

from __future__ import annotations

import errno
from dataclasses import dataclass

import click

from intlower.compiler.errors import DataError, IntlowerError, SimulationMismatch

CHECK_FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells count

_OS_HINTS = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path: a part of it is a file, not a folder",
    errno.EINVAL: "name an ordinary file",
    errno.EISDIR: "name a file, not a folder",
    errno.EACCES: "choose a path that you may read and write",
    errno.EPERM: "choose a path that you may read and write",
    errno.EROFS: "choose a path outside the read-only file system",
    errno.ENOSPC: "free some space, or write to another disk",
    errno.ENAMETOOLONG: "choose a shorter file name",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error as the user sees it.

    Attributes:
        type: name of the error's class, for programs that read the JSON.
        message: one line.
        hint: one line: how to mend it.
        exit_code: 1 where a check failed, 2 for bad usage or input.
    """

    type: str
    message: str
    hint: str
    exit_code: int = BAD_INPUT

    def document(self) -> dict[str, dict[str, str]]:
        """Return the failure as the JSON that `--json` prints."""
        return {"error": {"type": self.type, "message": self.message, "hint": self.hint}}


def describe(error: BaseException) -> Failure:
    """Return what to tell the user about an exception."""
    kind = type(error).__name__
    match error:
        case click.UsageError():
            path = "intlower" if error.ctx is None else error.ctx.command_path
            return Failure(
                type=kind,
                message=one_line(error.format_message()),
                hint=f"see '{path} --help'",
            )
        case click.ClickException():
            return Failure(
                type=kind,
                message=one_line(error.format_message()),
                hint="see 'intlower --help'",
            )
        case IntlowerError():
            return Failure(
                type=kind,
                message=one_line(str(error)),
                hint=one_line(error.hint) or _default_hint(error),
                exit_code=CHECK_FAILED if isinstance(error, SimulationMismatch) else BAD_INPUT,
            )
        case ModuleNotFoundError() if (error.name or "intlower").split(".")[0] != "intlower":
            return Failure(
                type=kind,
                message=f"the package {error.name!r} is not installed",
                hint="install what this command needs: pip install --upgrade intlower",
            )
        case MemoryError():
            return Failure(
                type=kind,
                message="there is not enough memory for this",
                hint="process fewer samples at once, for example with --count",
            )
        case OSError():
            reason = error.strerror or str(error) or kind
            where = "" if error.filename is None else f"{error.filename}: "
            return Failure(
                type=kind,
                message=one_line(f"{where}{reason.lower()}"),
                hint=_OS_HINTS.get(error.errno or 0, "check the file and its permissions"),
            )
        case _:
            return Failure(
                type=kind,
                message=one_line(f"internal error: {kind}: {error}".rstrip(": ")),
                hint="this is a defect of intlower: run again with --traceback and report it",
            )


def _default_hint(error: IntlowerError) -> str:
    if isinstance(error, DataError):
        return "give one array for each input of the model, under its name and in its shape"
    return "see 'intlower --help'"


def one_line(text: str) -> str:
    r"""Return a text on one line, with what a terminal would obey written out.

    Names in a model file may hold anything, also escape sequences.

    >>> one_line("two\n  lines, and a \x1b[2J")
    'two lines, and a \\x1b[2J'
    """
    joined = " ".join(text.split())
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in joined
    )
