"""Writing a function body as expressions: each operation on a value adds one node of standard integer ONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

DOMAIN = "intlower"
# The first opset with BitwiseAnd, BitwiseOr and BitwiseNot.
OPSET = 18


@dataclass(frozen=True, slots=True)
class Reference:
    """An attribute of a node that takes the value of an attribute of the function.

    Attributes:
        name: the function's attribute.
        many: whether it is a list of integers.
    """

    name: str
    many: bool = True


AttributeValue = int | str | Sequence[int] | TensorProto | GraphProto | Reference


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor inside a body. Arithmetic with a number takes it as a scalar of the same type.

    Attributes:
        body: where its node is.
        name: of the tensor.
        dtype: its NumPy name.
    """

    body: Body
    name: str
    dtype: str

    def __add__(self, other: Operand) -> Value:
        return self.body.apply("Add", self, other)

    def __sub__(self, other: Operand) -> Value:
        return self.body.apply("Sub", self, other)

    def __mul__(self, other: Operand) -> Value:
        return self.body.apply("Mul", self, other)

    def __floordiv__(self, other: Operand) -> Value:
        # ONNX Div truncates; that is the floor only where neither operand is negative.
        return self.body.apply("Div", self, other)

    def __and__(self, other: Operand) -> Value:
        return self.body.apply("BitwiseAnd", self, other)

    def __or__(self, other: Operand) -> Value:
        return self.body.apply("BitwiseOr", self, other)

    def __invert__(self) -> Value:
        return self.body.apply("BitwiseNot", self)

    def __rshift__(self, other: Operand) -> Value:
        return self.body.apply("BitShift", self, other, direction="RIGHT")

    def __lshift__(self, other: Operand) -> Value:
        return self.body.apply("BitShift", self, other, direction="LEFT")

    def __abs__(self) -> Value:
        return self.body.apply("Abs", self)

    def __lt__(self, other: Operand) -> Value:
        return self.body.apply("Less", self, other, dtype="bool")

    def minimum(self, other: Operand) -> Value:
        """Return the lesser of two unsigned or small numbers, element by element.

        On int64, onnxruntime 1.31 with AVX2 errs for some that lie 2**31 or more apart: Max(2**31, 3) is 3. (Min, Clip
        and Sign err likewise; uint64 and the comparisons are right.)
        """
        return self.body.apply("Min", self, other)

    def maximum(self, other: Operand) -> Value:
        """Return the greater of two unsigned or small numbers; see `minimum`."""
        return self.body.apply("Max", self, other)

    def cast(self, dtype: str) -> Value:
        """Return the value as another type."""
        if dtype == self.dtype:
            return self
        return self.body.apply("Cast", self, dtype=dtype, to=tensor_type(dtype))

    def part(self, index: int) -> Value:
        """Return one entry of a vector, as a scalar."""
        return self.part_in(self.body, index)

    def part_in(self, body: Body, index: int) -> Value:
        """Return one entry of a vector, as a scalar, computed inside a loop."""
        return body.apply("Gather", self, body.constant(index, "int64"), axis=0)

    def dimensions(self, start: int, end: int) -> Value:
        """Return the sizes of axes start to end - 1, as an int64 vector."""
        return self.body.apply("Shape", self, dtype="int64", start=start, end=end)

    def reshape(self, shape: Value) -> Value:
        """Return the elements in row-major order under another shape."""
        return self.body.apply("Reshape", self, shape)

    def unsqueeze(self, *axes: int) -> Value:
        """Return the value with axes of size 1 inserted."""
        return self.body.apply("Unsqueeze", self, self.body.constant(axes, "int64"))


Operand = Value | int | float


class Body:
    """The nodes of one function, in order, or of a graph inside it."""

    def __init__(self, prefix: str = "") -> None:
        """Take what the names of values begin with: a graph's differ from those around it."""
        self._prefix = prefix
        self._nodes: list[NodeProto] = []
        self._known: dict[tuple[str, str], Value] = {}

    def apply(
        self,
        operator: str,
        *inputs: Operand,
        dtype: str | None = None,
        **attributes: AttributeValue,
    ) -> Value:
        """Add a node and return its output.

        Args:
            operator: of the standard domain.
            inputs: values; a number becomes a scalar of the first value's type.
            dtype: of the output, where it is not the first value's.
            attributes: of the node.
        """
        first = next(value for value in inputs if isinstance(value, Value))
        names = [
            value.name if isinstance(value, Value) else self.constant(value, first.dtype).name
            for value in inputs
        ]
        return self._add(operator, names, dtype or first.dtype, attributes)

    def parameter(self, name: str, dtype: str) -> Value:
        """Return a tensor or constant that the function is called with."""
        return Value(self, name, dtype)

    def constant(self, values: float | Sequence[int], dtype: str) -> Value:
        """Return a constant scalar or vector; equal constants share one node."""
        tensor = numpy_helper.from_array(np.array(values, dtype))
        return self._constant((repr(values), dtype), dtype, {"value": tensor})

    def attribute(self, name: str) -> Value:
        """Return an integer attribute of the function as an int64 scalar."""
        reference = Reference(name, many=False)
        return self._constant((name, "int"), "int64", {"value_int": reference})

    def attributes(self, name: str) -> Value:
        """Return a list attribute of the function as an int64 vector."""
        return self._constant((name, "ints"), "int64", {"value_ints": Reference(name)})

    def concatenate(self, *vectors: Value) -> Value:
        """Return vectors joined end to end."""
        return self.apply("Concat", *vectors, axis=0)

    def loop(
        self, count: Value, start: Value, step: Callable[[Body, Value, Value], Value]
    ) -> Value:
        """Return what `step` makes of a value, applied `count` times.

        Args:
            count: int64 scalar.
            start: the first value.
            step: writes one round into a body of its own: from the round's number and the value to the next value, of
                the same type. It may use values of this body as operands, not as the subject of arithmetic.
        """
        inner = Body(prefix=f"loop_{len(self._nodes)}_")
        place, going, state = (
            inner.parameter(f"{inner._prefix}{name}", dtype)
            for name, dtype in (("place", "int64"), ("going", "bool"), ("state", start.dtype))
        )
        following = step(inner, place, state)
        again = inner.apply("Identity", going)

        def declared(value: Value, shape: Sequence[int] | None) -> ValueInfoProto:
            return helper.make_tensor_value_info(value.name, tensor_type(value.dtype), shape)

        graph = helper.make_graph(
            inner._nodes,
            "round",
            [declared(place, ()), declared(going, ()), declared(state, None)],
            [declared(again, ()), declared(following, None)],
        )
        always = Value(self, "", "bool")
        return self.apply("Loop", count, always, start, dtype=start.dtype, body=graph)

    def seen(self, value: Value) -> Value:
        """Return a value of the body around this one, for arithmetic in this one."""
        return Value(self, value.name, value.dtype)

    def function(
        self,
        name: str,
        *,
        inputs: Sequence[str],
        output: Value,
        attributes: Sequence[str],
        description: str,
    ) -> FunctionProto:
        """Return the finished function.

        Args:
            name: under which nodes call it.
            inputs: names of its parameters.
            output: the value that it returns, defined by the last node.
            attributes: names of its attributes.
            description: what it computes, one sentence.
        """
        assert list(self._nodes[-1].output) == [output.name], "the output is the last node's"
        self._nodes[-1].output[0] = "output"
        return helper.make_function(
            DOMAIN,
            name,
            inputs,
            ["output"],
            self._nodes,
            [helper.make_opsetid("", OPSET)],
            attributes,
            doc_string=description,
        )

    def graph(
        self, name: str, inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto]
    ) -> GraphProto:
        """Return the nodes as a graph, for a node that runs it."""
        return helper.make_graph(self._nodes, name, inputs, outputs)

    def _constant(
        self, key: tuple[str, str], dtype: str, attributes: dict[str, AttributeValue]
    ) -> Value:
        if key not in self._known:
            self._known[key] = self._add("Constant", [], dtype, attributes)
        return self._known[key]

    def _add(
        self,
        operator: str,
        inputs: Sequence[str],
        dtype: str,
        attributes: dict[str, AttributeValue],
    ) -> Value:
        name = f"{self._prefix}{operator.lower()}_{len(self._nodes)}"
        node = NodeProto(op_type=operator, name=name, input=inputs, output=[name])
        node.attribute.extend(_attribute(key, value) for key, value in attributes.items())
        self._nodes.append(node)
        return Value(self, name, dtype)


def tensor_type(dtype: str) -> int:
    """Return ONNX's number for a NumPy type name."""
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def _attribute(key: str, value: AttributeValue) -> AttributeProto:
    if not isinstance(value, Reference):
        return helper.make_attribute(key, value)
    kind = AttributeProto.INTS if value.many else AttributeProto.INT
    return AttributeProto(name=key, ref_attr_name=value.name, type=kind)
