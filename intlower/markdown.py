"""Markdown tables, written into a marked place of a file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from intlower.compiler.errors import DataError
from intlower.compiler.files import write_atomically
from intlower.failures import one_line


def markdown_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Collection[str] = ()
) -> str:
    r"""Return a table; headings in `numeric` stand over columns that are aligned to the right.

    >>> print(markdown_table(["name", "n"], [["a|b", "1"]], ["n"]))
    | name | n |
    | --- | ---: |
    | a\|b | 1 |
    """
    rule = ["---:" if column in numeric else "---" for column in columns]
    cells = [[one_line(cell).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, rule, *cells))


def folded(title: str, body: str) -> str:
    """Return a body that a reader of the page unfolds by its title."""
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"


def read_marked(path: Path, mark: str) -> tuple[str, str]:
    """Return what stands in a file before and after the place between `<!-- mark -->` and `<!-- /mark -->`.

    Both comments are part of what is returned.

    Raises:
        DataError: the comments are not there once each, in this order.
        OSError: the file cannot be read.
    """
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    try:
        with path.open(encoding="utf-8", newline="") as file:  # line ends stay as they are
            text = file.read()
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a text file", "name a Markdown file") from None
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed or text.count(begin) != 1 or text.count(end) != 1:
        raise DataError(
            f"{path}: there is not one place between {begin} and {end}",
            f"put the lines {begin} and {end} where the table belongs",
        )
    return before + begin, end + after


def write_marked(path: Path, mark: str, body: str) -> None:
    """Replace what stands in the marked place of a file, atomically; see `read_marked`."""
    before, after = read_marked(path, mark)
    write_atomically(path, f"{before}\n{body}\n{after}".encode())
