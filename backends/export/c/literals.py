"""Numbers and arrays as C text."""

from __future__ import annotations

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
    """Return the elements of an initializer, in lines of equally many.

    >>> c_list([1, -2])
    '    1, -2'
    """
    texts = [c_integer(value) for value in values]
    each = max(1, (_LINE - 4) // (max(map(len, texts)) + 2))
    lines = (", ".join(texts[i : i + each]) for i in range(0, len(texts), each))
    return "    " + ",\n    ".join(lines)


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
