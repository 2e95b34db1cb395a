"""Numbers and arrays as C text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LINE = 100


def c_integer(value: int) -> str:
    """Return a C expression of type int32_t at most.

    C has no negative literals: the least int32 is written as a difference, as in <stdint.h>.

    >>> c_integer(-128), c_integer(-2**31)
    ('-128', '(-2147483647 - 1)')
    """
    return "(-2147483647 - 1)" if value == -(1 << 31) else str(value)


def c_list(values: Iterable[int]) -> str:
    """Return the elements of an initializer, broken into lines.

    >>> c_list([1, -2])
    '    1, -2'
    """
    text = ", ".join(map(c_integer, values))
    return textwrap.fill(
        text,
        _LINE,
        initial_indent="    ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def c_array(c_type: str, name: str, values: NDArray[Any], comment: str) -> str:
    """Return the definition of a static constant array, row-major.

    Args:
        c_type: of an element.
        name: identifier.
        values: integers, at least one.
        comment: what it is, without the marks of a comment.
    """
    flat = np.asarray(values).reshape(-1).tolist()
    return (
        f"/* {comment} */\n"
        f"static const {c_type} {name}[{len(flat)}] = {{\n{c_list(flat)}\n}};\n"
    )


def c_comment(text: str) -> str:
    """Return text, already free of comment marks, as a comment of several lines.

    >>> print(c_comment("one"), end="")
    /* one */
    """
    lines = textwrap.wrap(text, _LINE, break_long_words=False, break_on_hyphens=False)
    return "/* " + "\n   ".join(lines) + " */\n"
