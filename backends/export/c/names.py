"""Names of a graph as C identifiers and in C comments."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

from intlower.compiler.errors import ExportError

# With the longest prefix and a number behind, under the 63 characters that C99 (5.2.4.1) says a compiler tells apart.
_LONGEST_PART = 40
_LONGEST_PROJECT = 20

_PROJECT_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# What generated identifiers begin with, and the headers of C99, which a file of that name could hide.
_TAKEN = re.compile(
    r"(arena|bias|channels|codes|from|il|indices|input|loops|maximum|minimum|multiplier|output|shape|shift|table"
    r"|tensor|to|weights)"
    r"(_.*)?"
    r"|assert|complex|ctype|errno|fenv|float|inttypes|iso646|limits|locale|math|setjmp|signal|stdarg|stdbool|stddef"
    r"|stdint|stdio|stdlib|string|tgmath|time|wchar|wctype"
)


def identifier_parts(names: Iterable[str]) -> dict[str, str]:
    """Return for each name a part of an identifier: ASCII letters, digits and single underscores, all different.

    A prefix in front of it makes it an identifier that is no keyword.

    >>> identifier_parts(["conv/1:0", "conv 1 0", "", "int"])
    {'conv/1:0': 'conv_1_0', 'conv 1 0': 'conv_1_0_2', '': 'unnamed', 'int': 'int'}
    """
    parts: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9]+", "_", name)[:_LONGEST_PART].strip("_") or "unnamed"
        part, count = stem, 1
        while part in taken:
            count += 1
            part = f"{stem}_{count}"
        parts[name] = part
        taken.add(part)
    return parts


def in_comment(name: str) -> str:
    """Return a name for a C comment: percent-encoded, so that it neither ends the comment nor the line.

    `urllib.parse.unquote` gives the name back.

    >>> in_comment("a*/ b??/")
    'a%2A/ b%3F%3F/'
    """
    return quote(name, safe=" /:.,;+=()[]")


def check_project_name(name: str) -> None:
    """Prove that files and identifiers may begin with a name.

    Raises:
        ExportError: it is no identifier, too long, or begins as something else in the project does.
    """
    if _PROJECT_NAME.fullmatch(name) is None or len(name) > _LONGEST_PROJECT:
        raise ExportError(
            f"{name!r} cannot name a C project",
            f"take up to {_LONGEST_PROJECT} small letters, digits and single underscores, a letter first",
        )
    if _TAKEN.fullmatch(name):
        raise ExportError(
            f"the C project cannot be called {name!r}: its files use that name for something else",
            "take another, for example the network's",
        )
