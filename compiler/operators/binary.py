"""Operators on two operands that broadcast to one shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intlower.compiler.operators.shapes import Shape, broadcast, require_arity


@dataclass(frozen=True, slots=True, kw_only=True)
class Add:
    """a + b, with ONNX broadcasting; what is constant comes second."""

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The broadcast shape."""
        return _binary_shape("Add", inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sub:
    """a - b, both values, with ONNX broadcasting; the importer makes an Add where one is constant."""

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The broadcast shape."""
        return _binary_shape("Sub", inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mul:
    """a * b, with ONNX broadcasting; what is constant comes second."""

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The broadcast shape."""
        return _binary_shape("Mul", inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Div:
    """a / b, both values, with ONNX broadcasting; the importer makes a Mul where one is constant.

    Attributes:
        no_nan: whether a / 0 is 0, as in TensorFlow's `divide_no_nan`.
    """

    no_nan: bool = False

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The broadcast shape."""
        return _binary_shape("Div", inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maximum:
    """max(a, b), with ONNX broadcasting; what is constant comes second."""

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The broadcast shape."""
        return _binary_shape("Maximum", inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Minimum:
    """min(a, b), with ONNX broadcasting; what is constant comes second."""

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The broadcast shape."""
        return _binary_shape("Minimum", inputs)


def _binary_shape(name: str, inputs: Sequence[Shape]) -> Shape:
    require_arity(name, inputs, 2)
    return broadcast(*inputs)
