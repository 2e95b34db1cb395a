"""Makes one function of the clipped line that exporters write for a hard sigmoid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from intlower.compiler.graph import Graph, Node
from intlower.compiler.operators import AnyOperator, Clip, Elementwise, Function
from intlower.compiler.passes.patterns import Reader, close, replace_matches


@dataclass(frozen=True, slots=True, kw_only=True)
class FuseHardSigmoid:
    """Makes c * Clip(x + b, 0, 1 / c) a HardSigmoid with alpha = c and beta = b * c.

    PyTorch before opset 14 and MobileNetV3's authors write relu6(x + 3) / 6. The line's last bit may differ: the
    constants are rounded once more.
    """

    name: ClassVar[str] = "fuse_hard_sigmoid"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with hard sigmoids as one node."""
        return replace_matches(graph, _match)


def _match(reader: Reader, node: Node) -> tuple[AnyOperator, str] | None:
    product = reader.product(node)
    if len(product.factors) != 1 or product.factors[0] == node.output:
        return None
    line = clipped_line(reader, product.factors[0])
    if line is None or not close(line[2] * product.constant, 1.0):
        return None
    x, shift, _ = line
    slope = product.constant
    operator = Elementwise(function=Function.HARD_SIGMOID, alpha=slope, beta=shift * slope)
    return operator, x


def clipped_line(reader: Reader, name: str) -> tuple[str, float, float] | None:
    """Return x, b and h where a value is Clip(x + b, 0, h), with b and h positive numbers."""
    clip = reader.producer(name)
    if clip is None or not isinstance(clip.operator, Clip) or clip.operator.minimum != 0:
        return None
    line = reader.added(clip.inputs[0])
    if line is None or not 0 < line[1] < clip.operator.maximum < float("inf"):
        return None
    return *line, clip.operator.maximum
