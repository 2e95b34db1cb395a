"""The stretches of a program that the target runs, and those that the host runs in between."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from intlower.compiler.program import IntegerProgram


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Instructions one after another that one processor runs.

    Attributes:
        host: whether it is the host, beside the target.
        first: position of its first instruction.
        count: how many instructions.
        multiply_accumulates: for one sample.
        operators: names of its integer operators, each once, sorted.
    """

    host: bool
    first: int
    count: int
    multiply_accumulates: int
    operators: tuple[str, ...]


def segments(program: IntegerProgram) -> tuple[Segment, ...]:
    """Return a program's segments in order; one alone where the target runs everything."""
    found: list[Segment] = []
    first = 0
    for host, run in groupby(program.instructions, key=lambda instruction: instruction.host):
        members = list(run)
        found.append(
            Segment(
                host=host,
                first=first,
                count=len(members),
                multiply_accumulates=sum(program.products_of(member) for member in members),
                operators=tuple(sorted({member.kernel.operator for member in members})),
            )
        )
        first += len(members)
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostShare:
    """How much of a program the host runs as integers.

    Attributes:
        segments: how many stretches.
        instructions: how many of the program's.
        multiply_accumulates: the host's part of all, 0 to 1.
    """

    segments: int
    instructions: int
    multiply_accumulates: float


def host_share(program: IntegerProgram) -> HostShare:
    """Return how much of a program the host runs as integers."""
    found = [segment for segment in segments(program) if segment.host]
    products = sum(segment.multiply_accumulates for segment in found)
    return HostShare(
        segments=len(found),
        instructions=sum(segment.count for segment in found),
        multiply_accumulates=products / max(program.multiply_accumulates(), 1),
    )


def host_words(program: IntegerProgram) -> str:
    """Return in words how much the host runs: `none`, or what `inspect` and `compile` show."""
    share = host_share(program)
    if not share.segments:
        return "none"
    places = "1 segment" if share.segments == 1 else f"{share.segments} segments"
    return (
        f"{share.instructions} of {len(program.instructions)} instructions in {places}, "
        f"{share.multiply_accumulates:.1%} of multiply-accumulates"
    )
