"""What can go wrong, as types.

    IntlowerError
    ├── ModelError            UnsupportedOperator, DynamicShape, InvalidGraph
    ├── TargetError           UnknownTarget, DuplicateTarget, UnsupportedByTarget
    ├── CalibrationError
    ├── DataError             a data file's arrays do not fit the model
    ├── LoweringError         AccumulatorOverflow, ScaleOutOfRange
    ├── ArtifactError
    ├── ExportError           a format cannot hold the program
    └── SimulationMismatch

`str(error)` is one sentence (what, where, what was allowed); `error.hint` says how to mend it. The command line prints
both and exits with 2 (1 for a mismatch).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class IntlowerError(Exception):
    """The root of every error that a user can cause.

    Args:
        message: one sentence.
        hint: how to mend it, one sentence; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ModelError(IntlowerError):
    """The model cannot be read as a graph."""


# How many values a hint names at which a network could end.
_MOST_ENDS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsupportedNode:
    """One node that cannot be imported, and why."""

    operator: str
    name: str
    reason: str = ""


class UnsupportedOperator(ModelError):
    """Operators of the model that cannot be imported, all of them at once.

    Args:
        nodes: every offending node.
        ends: values at which the network could end instead, in the model's order.
    """

    def __init__(self, nodes: Sequence[UnsupportedNode], ends: Sequence[str] = ()) -> None:
        self.nodes = tuple(nodes)
        self.ends = tuple(ends)
        plural = "s are" if len(self.nodes) > 1 else " is"
        quantized = any(node.operator in _OF_QUANTIZED_MODELS for node in self.nodes)
        super().__init__(
            f"{len(self.nodes)} node{plural} not supported: {listed_nodes(self.nodes)}",
            "the model is quantized already: give the float model that it was made from"
            if quantized
            else "rewrite these nodes in operators that are supported"
            + (
                f", or end the network before them, and do the rest on the host: --outputs {','.join(self.ends)}"
                if 0 < len(self.ends) <= _MOST_ENDS
                else ", or end the network before them (--outputs NAME,...)"
            ),
        )


# What stands in models that another tool has quantized; their float numbers are gone.
_OF_QUANTIZED_MODELS = frozenset(
    {
        "ConvInteger",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "MatMulInteger",
        "QLinearConv",
        "QLinearMatMul",
        "QuantizeLinear",
    }
)

# A message stays readable: so many kinds of nodes, and so many names of each.
_KINDS = 6
_NAMES = 3


def listed_nodes(nodes: Sequence[UnsupportedNode]) -> str:
    """Return the first names of each kind of node, a kind being an operator and a reason, in the order of the graph.

    >>> listed_nodes([UnsupportedNode(operator="NonZero", name=f"node_{i}") for i in range(5)])
    "NonZero at 'node_0', 'node_1', 'node_2' and 2 more"
    """
    kinds: dict[tuple[str, str], list[str]] = {}
    for node in nodes:
        kinds.setdefault((node.operator, node.reason), []).append(repr(node.name))
    texts = []
    for (operator, reason), names in list(kinds.items())[:_KINDS]:
        more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
        texts.append(
            f"{operator} at {', '.join(names[:_NAMES])}{more}"
            + (f" ({reason})" if reason else "")
        )
    if len(kinds) > _KINDS:
        texts.append(f"and {len(kinds) - _KINDS} more kinds")
    return "; ".join(texts)


class DynamicShape(ModelError):
    """A dimension other than the batch is not known at compile time."""


class InvalidGraph(ModelError):
    """A graph that breaks its own rules: names, order, arity or shapes."""


class TargetError(IntlowerError):
    """Something about a target."""


class UnknownTarget(TargetError):
    """No installed target has this name."""

    def __init__(
        self, name: str, installed: Sequence[str], closest: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.installed = tuple(installed)
        meant = f"did you mean {closest[0]!r}? " if closest else ""
        super().__init__(
            f"unknown target {name!r}", f"{meant}installed targets: {', '.join(self.installed)}"
        )


class DuplicateTarget(TargetError):
    """Two installed packages provide a target of the same name."""

    def __init__(self, name: str, packages: Sequence[str]) -> None:
        self.name = name
        self.packages = tuple(packages)
        super().__init__(
            f"target {name!r} is provided by {' and by '.join(self.packages)}",
            "uninstall one of the packages",
        )


class UnsupportedByTarget(TargetError):
    """The target's arithmetic does not cover an operator of the graph."""


class CalibrationError(IntlowerError):
    """Ranges cannot be found: no statistics, no samples, or values that are not finite."""


class CalibrationWarning(UserWarning):
    """Ranges had to be guessed; the program will run, but likely not well.

    Args:
        message: one sentence.
        hint: how to mend it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class DataError(IntlowerError):
    """A data file does not fit the model: a name, a shape or a type."""


class LoweringError(IntlowerError):
    """The graph cannot be expressed in the target's integers."""


class AccumulatorOverflow(LoweringError):
    """An output channel may leave the accumulator, for some input codes."""

    def __init__(self, *, node: str, channel: int, bound: int, limit: int, target: str) -> None:
        self.node = node
        self.channel = channel
        self.bound = bound
        self.limit = limit
        self.target = target
        super().__init__(
            f"{node}: channel {channel} may reach {bound:_}, past {limit:_}, the limit of the "
            f"accumulator of {target!r}",
            "equalize the weights, or choose a target with a wider accumulator",
        )


class ScaleOutOfRange(LoweringError):
    """A scale or a ratio of scales is outside what the target's arithmetic can multiply by."""


class ArtifactError(IntlowerError):
    """A file is not an artifact of this program, or is altered."""


class ExportError(IntlowerError):
    """A vendor's format cannot hold a program; the message names the node or tensor."""


class SimulationMismatch(IntlowerError):
    """Two executions of one program gave different integers.

    Args:
        instruction: the first differing instruction.
        index: index of the first differing element of its output.
        expected: the oracle's code there.
        actual: the other's.
        against: who gave `actual`.
    """

    def __init__(
        self,
        *,
        instruction: str,
        index: tuple[int, ...],
        expected: int,
        actual: int,
        against: str,
    ) -> None:
        self.instruction = instruction
        self.index = index
        self.expected = expected
        self.actual = actual
        self.against = against
        super().__init__(
            f"{against} differs first at {instruction}{list(index)}: {actual} instead of {expected}",
            "this is a defect of intlower or of the runtime: please report it with the artifact",
        )
