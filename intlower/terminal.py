"""How the command line talks: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from intlower.failures import one_line

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

# Where stdout is no terminal there is no width to keep to: a table's row stays on one line.
_UNLIMITED_WIDTH = 10_000


def print_json(document: Mapping[str, Any]) -> None:
    """Print a result as one JSON document on stdout."""
    click.echo(json.dumps(document, indent=2, allow_nan=False))


def print_line(text: str) -> None:
    """Print one line of a result on stdout."""
    click.echo(one_line(text))


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    numeric: Collection[str] = (),
) -> None:
    """Print a table on stdout.

    Args:
        columns: their headings; none of them is shown where all are empty.
        rows: one cell for each column.
        title: printed above.
        numeric: headings of the columns that are aligned to the right.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    width = None if sys.stdout.isatty() else _UNLIMITED_WIDTH
    console = Console(markup=False, emoji=False, highlight=False, width=width)
    table = Table(
        box=box.SIMPLE_HEAD,
        show_header=any(columns),
        title=title or None,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        show_edge=False,
    )
    for column in columns:
        table.add_column(
            column, justify="right" if column in numeric else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(one_line(str(cell)) for cell in row))
    with console.capture() as captured:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().strip("\n").splitlines()))


def print_facts(facts: Mapping[str, object], *, title: str = "") -> None:
    """Print names and values, one pair a line, on stdout."""
    print_table(("", ""), facts.items(), title=title)


def print_warning(message: str, hint: str = "") -> None:
    """Print a warning and how to heed it on stderr."""
    _print_labelled("warning", "yellow", message)
    if hint:
        _print_labelled("hint", "cyan", hint)


def print_error(message: str, hint: str) -> None:
    """Print an error and how to mend it on stderr."""
    _print_labelled("error", "red", message)
    _print_labelled("hint", "cyan", hint)


def _print_labelled(label: str, colour: str, text: str) -> None:
    click.echo(
        f"{click.style(f'{label}:', fg=colour, bold=True, reset=True)} {one_line(text)}",
        err=True,
    )


class Progress:
    """One line on stderr that says what is being done and how far it is."""

    def __init__(self, bars: Bars | None, task: TaskID | None) -> None:
        self._bars = bars
        self._task = task

    def stage(self, description: str) -> None:
        """Say what is being done now; how long it takes is not known."""
        if self._bars is not None and self._task is not None:
            self._bars.update(
                self._task, description=one_line(description), completed=0, total=None
            )

    def note(self, line: str) -> None:
        """Say on stderr what is finished, above the bar; also where there is no terminal."""
        if self._bars is not None:
            self._bars.console.print(one_line(line), markup=False, highlight=False)
        else:
            click.echo(one_line(line), err=True)

    def count(self, done: int, total: int) -> None:
        """Say how much of the present stage is done."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=done, total=total)


@contextmanager
def progress(description: str) -> Iterator[Progress]:
    """Show a progress bar with the elapsed time while the block runs; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield Progress(None, None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    with Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        yield Progress(bars, bars.add_task(one_line(description), total=None))


def size_text(size_bytes: int) -> str:
    """Return a number of bytes for people.

    >>> [size_text(n) for n in (999, 51_393, 3_504_872)]
    ['999 B', '51.4 kB', '3.5 MB']
    """
    if size_bytes < 1000:
        return f"{size_bytes} B"
    return f"{size_bytes / 1e3:.1f} kB" if size_bytes < 1e6 else f"{size_bytes / 1e6:.1f} MB"


def shape_text(shape: Sequence[int | None]) -> str:
    """Return a shape for people; the free batch is N.

    >>> shape_text((None, 3, 32, 32))
    'Nx3x32x32'
    """
    return "x".join("N" if size is None else str(size) for size in shape)


def percent_text(share: float) -> str:
    """Return a share of one in percent.

    >>> percent_text(0.985)
    '98.5 %'
    """
    return f"{100 * share:.1f} %"
