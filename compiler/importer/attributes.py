"""One ONNX node as the converters read it: a name that is unique, optional inputs, typed attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from intlower.compiler.errors import InvalidGraph


class NotSupported(Exception):
    """Raised by a converter for a node that it cannot convert; becomes part of `UnsupportedOperator`.

    Args:
        reason: why, as a part of a sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxNode:
    """A node of the ONNX graph.

    Attributes:
        name: unique among the nodes.
        operator: the ONNX operator, with its domain in front where that is not ONNX's.
        opset: version of the ONNX operator set that the model uses.
        inputs: names; an empty one stands for an input that is left out.
        outputs: names; an empty one, or one that nothing reads, stands for an output not wanted.
        wanted: the outputs that something reads.
        attributes: by name.
        proto: the node itself, for folding.
    """

    name: str
    operator: str
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    wanted: frozenset[str]
    attributes: Mapping[str, onnx.AttributeProto]
    proto: onnx.NodeProto

    def input(self, index: int) -> str:
        """Return the name of an input; empty where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def first_output_only(self) -> None:
        """Refuse the node if anything reads an output after the first."""
        for name in self.outputs[1:]:
            if name in self.wanted:
                raise NotSupported(f"its output {name!r} is used")

    def integer(self, key: str, default: int) -> int:
        """Return an integer attribute."""
        attribute = self._attribute(key, onnx.AttributeProto.INT)
        return default if attribute is None else attribute.i

    def number(self, key: str, default: float) -> float:
        """Return a float attribute."""
        attribute = self._attribute(key, onnx.AttributeProto.FLOAT)
        return default if attribute is None else attribute.f

    def text(self, key: str, default: str) -> str:
        """Return a string attribute."""
        attribute = self._attribute(key, onnx.AttributeProto.STRING)
        return default if attribute is None else attribute.s.decode("utf-8", "replace")

    def integers(self, key: str) -> tuple[int, ...] | None:
        """Return a list of integers, None where it is not given."""
        attribute = self._attribute(key, onnx.AttributeProto.INTS)
        return None if attribute is None else tuple(attribute.ints)

    def pair(self, key: str, default: tuple[int, ...] | None = None) -> tuple[int, int]:
        """Return a list of two integers, one for each spatial axis.

        Raises:
            InvalidGraph: it has another length, or is not given and has no default.
        """
        values = self.integers(key)
        values = default if values is None else values
        if values is None or len(values) != 2:
            raise InvalidGraph(f"{self.name}: {key} is {values}, not two integers")
        return values[0], values[1]

    def _attribute(
        self, key: str, kind: onnx.AttributeProto.AttributeType
    ) -> onnx.AttributeProto | None:
        attribute = self.attributes.get(key)
        if attribute is not None and attribute.type != kind:
            raise InvalidGraph(f"{self.name}: attribute {key!r} is of the wrong type")
        return attribute
