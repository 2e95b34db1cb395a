"""Parts of the generated header: C types and functions, each written only where something needs it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A C type or function.

    Attributes:
        name: its identifier; two pieces of one name are one piece.
        text: its definition, ending in a newline.
        needs: what must stand before it.
    """

    name: str
    text: str
    needs: tuple[Piece, ...] = ()


def in_order(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Return the pieces and everything they need, each once, what is needed first.

    >>> a = Piece(name="a", text="")
    >>> b = Piece(name="b", text="", needs=(a,))
    >>> [piece.name for piece in in_order([b, a, b])]
    ['a', 'b']
    """
    found: dict[str, Piece] = {}

    def visit(piece: Piece) -> None:
        if piece.name not in found:
            for needed in piece.needs:
                visit(needed)
            found[piece.name] = piece

    for piece in pieces:
        visit(piece)
    return tuple(found.values())
