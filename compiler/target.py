"""What a target is: the joint at which strangers extend the compiler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from intlower.compiler.calibration import Ranges
    from intlower.compiler.graph import Graph
    from intlower.compiler.passes.base import Pass
    from intlower.compiler.program import IntegerProgram, Origin
    from intlower.compiler.spec import TargetSpec


@runtime_checkable
class Target(Protocol):
    """A target: its arithmetic as data, the passes it wants, and its lowering.

    A package provides one by an entry point in the group `intlower.targets` whose name is `spec.name`. Most targets
    are `UniformTarget(spec=...)` of `backends/uniform.py` and write no code.
    """

    @property
    def spec(self) -> TargetSpec:
        """The arithmetic contract."""
        ...

    def passes(self) -> tuple[Pass, ...]:
        """Return the graph passes to run before calibration, in order."""
        ...

    def lower(self, graph: Graph, ranges: Ranges, origin: Origin) -> IntegerProgram:
        """Return the integer program of a graph whose values have ranges."""
        ...
