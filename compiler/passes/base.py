"""What a pass is, and how a pipeline runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from intlower.compiler.errors import IntlowerError
from intlower.compiler.graph import Graph


class Pass(Protocol):
    """A pure rewrite of a graph.

    Implementations are frozen dataclasses whose fields are their options, so that `repr` says exactly what runs. A pass
    keeps the network's function, or its docstring says what it changes; moments stay true.
    """

    name: ClassVar[str]

    def __call__(self, graph: Graph) -> Graph:
        """Return the rewritten graph."""
        ...


def run_passes(
    graph: Graph, passes: Sequence[Pass], progress: Callable[[str], None] | None = None
) -> Graph:
    """Return the graph after every pass, in order.

    Args:
        graph: what to rewrite.
        passes: the pipeline.
        progress: called with each pass's name before it runs.

    Raises:
        IntlowerError: a pass failed; the message names it and those that ran before it.
    """
    done: list[str] = []
    for rewrite in passes:
        if progress is not None:
            progress(rewrite.name)
        try:
            graph = rewrite(graph)
        except IntlowerError as error:
            after = f" after {', '.join(done)}" if done else ""
            error.args = (f"{error} (in pass {rewrite.name}{after})",)
            raise
        done.append(rewrite.name)
    return graph
