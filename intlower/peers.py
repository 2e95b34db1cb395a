"""Other runtimes on the same network, for timing and for counting the integers in which they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from intlower.backends.export.qdq import to_qdq
from intlower.backends.export.qdq_graph import to_unsigned
from intlower.compiler.program import IntegerProgram
from intlower.evaluation import open_session

Codes = Mapping[str, NDArray[Any]]
Run = Callable[[], Codes]


def onnxruntime_run(program: IntegerProgram, codes: Codes, threads: int, exact: bool) -> Run:
    """Return a run of a program, integers to integers, in onnxruntime's int8 kernels.

    Args:
        program: what to run, as a Q/DQ model of unsigned codes.
        codes: of every input.
        threads: within one operator.
        exact: forbid sums that saturate, see `open_session`.
    """
    model = to_qdq(program, integer_edges=True, unsigned=True).SerializeToString()
    what = "the Q/DQ form of the program"
    session = open_session(model, threads=threads, what=what, exact=exact)
    feeds = {name: to_unsigned(array) for name, array in codes.items()}
    names = list(program.outputs)
    return lambda: dict(zip(names, session.run(names, feeds), strict=True))


def differing(ours: Codes, theirs: Codes) -> int:
    """Return how many output integers differ; a peer's may be stored unsigned."""
    return sum(
        int((to_unsigned(ours[name]) != to_unsigned(theirs[name])).sum()) for name in ours
    )
