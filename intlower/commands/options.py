"""Options and arguments that several commands share."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

FILE = click.Path(path_type=Path)


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json` (passed on as `as_json`) and `--traceback` (read by the command line itself)."""
    command = click.option(
        "--traceback",
        is_flag=True,
        expose_value=False,
        help="Show Python's traceback of an error, for reports.",
    )(command)
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the result as one JSON document."
    )(command)


def examples(*lines: str) -> str:
    """Return an epilog that shows command lines, each on a line of its own."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


class CommaList(click.ParamType):
    """Names separated by commas, each one of a fixed choice, none twice.

    Args:
        choices: the names allowed.
    """

    name = "names"

    def __init__(self, choices: Sequence[str]) -> None:
        self.choices = tuple(choices)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the names."""
        if isinstance(value, tuple):
            return value
        names = tuple(dict.fromkeys(part.strip() for part in str(value).split(",")))
        for name in names:
            if name not in self.choices:
                self.fail(f"{name!r} is not one of {', '.join(self.choices)}", param, ctx)
        return names


class NamedRange(click.ParamType):
    """NAME=MIN:MAX as (name, (minimum, maximum))."""

    name = "NAME=MIN:MAX"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[float, float]]:
        """Return the name and the two reals, in order and finite."""
        if isinstance(value, tuple):
            return value
        name, _, limits = str(value).rpartition("=")
        low, _, high = limits.partition(":")
        try:
            minimum, maximum = float(low), float(high)
        except ValueError:
            self.fail(f"{value!r} is not of the form NAME=MIN:MAX", param, ctx)
        if not name or not float("-inf") < minimum < maximum < float("inf"):
            self.fail(f"{value!r} is not NAME=MIN:MAX with MIN below MAX", param, ctx)
        return name, (minimum, maximum)


class NamedShape(click.ParamType):
    """NAME=N,3,224,224 as (name, (None, 3, 224, 224)); the first size may be N, a free batch."""

    name = "NAME=N,C,H,W"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[int | None, ...]]:
        """Return the name and the sizes."""
        if isinstance(value, tuple):
            return value
        name, _, sizes = str(value).rpartition("=")
        words = [word.strip() for word in sizes.split(",")]
        if not name or not all(
            (word.isascii() and word.isdigit() and int(word) > 0) or (i == 0 and word == "N")
            for i, word in enumerate(words)
        ):
            self.fail(f"{value!r} is not of the form NAME=N,3,224,224", param, ctx)
        return name, tuple(None if word == "N" else int(word) for word in words)


def refuse_output(path: Path, *sources: Path) -> None:
    """Check before the work is done that a result could be written.

    Args:
        path: of the file to write.
        sources: files that are read and must not be overwritten.

    Raises:
        OSError: the path is a folder, or its folder does not exist or is not writable.
        click.UsageError: the path is one of the sources.
    """
    folder = path.resolve().parent
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not folder.exists():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(folder))
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    if any(path.resolve() == source.resolve() for source in sources):
        raise click.UsageError(
            f"the output {path} would overwrite a file that is read", click.get_current_context()
        )
