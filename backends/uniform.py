"""A target whose arithmetic is all data: uniform grids, the standard passes, the shared lowering."""

from __future__ import annotations

from dataclasses import dataclass

from intlower.backends.lowering import lower_uniform
from intlower.compiler.calibration import Ranges
from intlower.compiler.graph import Graph
from intlower.compiler.passes.base import Pass
from intlower.compiler.passes.standard import STANDARD_PASSES
from intlower.compiler.program import IntegerProgram, Origin
from intlower.compiler.spec import TargetSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class UniformTarget:
    """A target with uniform grids; see `compiler/target.py` for the protocol.

    Attributes:
        spec: the arithmetic contract, which is all that differs between such targets.
    """

    spec: TargetSpec

    def passes(self) -> tuple[Pass, ...]:
        """Return the standard passes: clean-up, batch-norm folding, activation fusion."""
        return STANDARD_PASSES

    def lower(self, graph: Graph, ranges: Ranges, origin: Origin) -> IntegerProgram:
        """Return the integer program; see `lowering.lower.lower_uniform`."""
        return lower_uniform(graph, ranges, self.spec, origin)


# Every float operator that the shared lowering has an integer form for.
UNIFORM_OPERATORS = frozenset(
    {
        "Add",
        "AveragePool",
        "Clip",
        "Concat",
        "Conv",
        "Flatten",
        "Gemm",
        "GlobalAveragePool",
        "Identity",
        "MaxPool",
        "Pad",
        "Relu",
        "Reshape",
        "Slice",
        "Softmax",
    }
)
