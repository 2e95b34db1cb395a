"""What is known while the nodes of a model are read in order, and what was made of them so far."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.errors import InvalidGraph, ModelError
from intlower.compiler.graph import Node, Value, fresh_name
from intlower.compiler.importer.attributes import NotSupported
from intlower.compiler.instruction_checker import LARGEST_TENSOR
from intlower.compiler.operators import AnyOperator, Reshape, Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Displaced:
    """A value whose free batch is not in front: see `displaced.py`.

    Attributes:
        base: the value that has it in front.
        permutation: axis i is axis permutation[i] of the base.
    """

    base: str
    permutation: tuple[int, ...]


class Scope:
    """The names of one graph while it is imported.

    A name is a value (its shape is known), a constant (its array is known), displaced (a value whose batch is not in
    front), a test whether a value is 0 (truth values, which the graph has none of) or unknown (it depends on a node that is
    not supported). Quotients are kept with their operands, for what is said of the divisor 0.

    Args:
        inputs: the graph inputs.
        taken: every name that the ONNX graph uses, which new names must avoid.
    """

    def __init__(self, inputs: Iterable[Value], taken: Iterable[str]) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, Constant] = {}
        self.shapes: dict[str, Shape] = {}
        self.folded_elements = 0
        self.stored_elements = 0
        self.displaced: dict[str, Displaced] = {}
        self.zero_tests: dict[str, str] = {}
        self.quotients: dict[str, tuple[str, str]] = {}
        self._arrays: dict[str, NDArray[Any]] = {}
        self._batch_dependent: set[str] = set()
        self._taken = set(taken)
        for value in inputs:
            self.define_value(value.name, value.shape)

    def define_value(self, name: str, shape: Shape) -> None:
        """Record the shape of a value.

        Raises:
            ModelError: it is larger than any tensor may be.
        """
        if math.prod(d for d in shape if d is not None) > LARGEST_TENSOR:
            raise ModelError(
                f"{name!r} of shape {shape} has more than {LARGEST_TENSOR} elements per sample"
            )
        self.shapes[name] = shape

    def define_array(
        self, name: str, array: NDArray[Any], *, batch_dependent: bool = False
    ) -> None:
        """Record a constant of any type.

        With `batch_dependent`, the array is a shape or a part of one in which 0 stands for the
        free batch.
        """
        self._arrays[name] = array
        if batch_dependent:
            self._batch_dependent.add(name)

    def is_value(self, name: str) -> bool:
        """Whether the name is a value."""
        return name in self.shapes

    def is_constant(self, name: str) -> bool:
        """Whether the name is a constant."""
        return name in self._arrays

    def is_batch_dependent(self, name: str) -> bool:
        """Whether the name is a constant in which 0 stands for the free batch."""
        return name in self._batch_dependent

    def array(self, name: str, role: str) -> NDArray[Any]:
        """Return the array of a constant, of the type that it has in the file.

        Args:
            name: of the constant.
            role: what it is to the node, for the message: "weights".

        Raises:
            NotSupported: the name is not a constant, or depends on the batch.
        """
        if name in self._batch_dependent:
            raise NotSupported(f"its {role} depends on the free batch")
        if name not in self._arrays:
            raise NotSupported(f"its {role} is not a constant")
        return self._arrays[name]

    def raw_array(self, name: str) -> NDArray[Any]:
        """Return the array of a constant, with 0 for the free batch.

        Raises:
            NotSupported: the name is not a constant.
        """
        if name not in self._arrays:
            raise NotSupported(f"{name!r} is not a constant")
        return self._arrays[name]

    def integers(
        self, name: str, role: str, *, batch_dependent: bool = False
    ) -> tuple[int, ...]:
        """Return a constant list of integers (or one integer, as a list).

        Args:
            name: of the constant.
            role: what it is to the node.
            batch_dependent: whether 0 may stand for the free batch in it.
        """
        array = self.raw_array(name) if batch_dependent else self.array(name, role)
        if array.dtype.kind not in "iu" or array.ndim > 1:
            raise InvalidGraph(f"{name!r} is {array.dtype}{list(array.shape)}, not integers")
        return tuple(int(v) for v in array.reshape(-1))

    def scalar(self, name: str, role: str) -> float:
        """Return a constant of one float."""
        array = self.array(name, role)
        if array.dtype.kind != "f" or array.size != 1:
            raise InvalidGraph(f"{name!r} is {array.dtype}{list(array.shape)}, not one float")
        return float(array.reshape(()))

    def floats(self, name: str, role: str) -> NDArray[np.float32]:
        """Return a constant as float32.

        Raises:
            NotSupported: the name is not a constant, or not of a floating type.
            InvalidGraph: it has NaN or infinite elements (in float32).
        """
        array = self.array(name, role)
        if array.dtype.kind != "f":
            raise NotSupported(f"its {role} is {array.dtype}, not a float type")
        with np.errstate(over="ignore"):  # an overflow is found below
            converted = np.asarray(array, np.float32)
        if not np.isfinite(converted).all():
            raise InvalidGraph(
                f"{name!r} holds values that are NaN or infinite in float32",
                "train or export the model again: such weights have no integer form",
            )
        return converted

    def addend(self, name: str) -> str:
        """Return the name of a float constant to add, which is now part of the graph.

        Where it has -infinity, as masks do, another constant has the least float32.
        """
        array = self.array(name, "operand")
        with np.errstate(over="ignore"):
            converted = np.asarray(array, np.float32)
        if array.dtype.kind != "f" or not (converted == -np.inf).any():
            return self.constant(name, "operand")
        finite = np.where(converted == -np.inf, np.finfo(np.float32).min, converted)
        if not np.isfinite(finite).all():
            return self.constant(name, "operand")  # it says what is wrong
        return self.add_constant(f"{name}_mask", finite)

    def constant(self, name: str, role: str) -> str:
        """Return the name of a float constant, which is now part of the graph."""
        if name not in self.constants:
            self.constants[name] = Constant(self.floats(name, role))
        return name

    def add_constant(self, base: str, array: NDArray[np.float32]) -> str:
        """Return the name of a new constant."""
        name = self.fresh(base)
        self.constants[name] = Constant(np.asarray(array))  # arithmetic makes scalars of rank 0
        return name

    def shape(self, name: str) -> Shape:
        """Return the shape of a value or constant.

        Raises:
            NotSupported: it is neither: an input that is left out.
        """
        if name not in self.shapes and name not in self._arrays:
            raise NotSupported(f"its input {name!r} is left out")
        return self.shapes[name] if name in self.shapes else self._arrays[name].shape

    def emit(
        self, name: str, operator: AnyOperator, inputs: tuple[str, ...], output: str
    ) -> None:
        """Append a node; inputs that are constants are now part of the graph.

        Raises:
            InvalidGraph: the inputs do not fit the operator.
            NotSupported: an input is a constant of integers, or depends on the batch.
        """
        shapes = [
            self.shapes[i]
            if i in self.shapes
            else self.constants[self.constant(i, "operand")].array.shape
            for i in inputs
        ]
        try:
            shape = operator.output_shape(shapes)
        except InvalidGraph as error:
            raise InvalidGraph(f"{name}: {error}", error.hint) from None
        self.define_value(output, shape)
        self.nodes.append(Node(name=name, operator=operator, inputs=inputs, output=output))

    def operand(self, name: str, role: str) -> str:
        """Return the name of a value, or of a float constant, which is now part of the graph."""
        return name if self.is_value(name) else self.constant(name, role)

    def emit_reshape(self, name: str, source: str, shape: Shape, output: str) -> None:
        """Append a Reshape to a shape with as many elements, of which only axis 0 may be free.

        Raises:
            NotSupported: the free batch would not stay in front.
        """
        free = self.shapes[source][:1] == (None,)
        if free != (shape[:1] == (None,)) or None in shape[1:]:
            raise NotSupported("it moves the free batch from the front")
        target = tuple(0 if size is None else size for size in shape)
        self.emit(name, Reshape(shape=target), (source,), output)

    def reshaped(self, name: str, source: str, shape: Shape) -> str:
        """Append a Reshape that the ONNX graph does not have, and return the name of its output."""
        output = self.fresh(name)
        self.emit_reshape(output, source, shape, output)
        return output

    def emit_intermediate(
        self, name: str, operator: AnyOperator, inputs: tuple[str, ...]
    ) -> str:
        """Append a node that the ONNX graph does not have, and return the name of its output."""
        output = self.fresh(name)
        self.emit(output, operator, inputs, output)
        return output

    def take(self, names: Iterable[str]) -> None:
        """Keep new names from being these."""
        self._taken.update(names)

    def fresh(self, base: str) -> str:
        """Return a name like `base` that nothing has yet."""
        name = fresh_name(base, self._taken)
        self._taken.add(name)
        return name
