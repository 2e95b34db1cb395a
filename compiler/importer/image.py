"""Inputs of one or two spatial axes, as the images [N, C, H, W] that the graph's windows slide over."""

from __future__ import annotations

from dataclasses import dataclass

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.scope import Scope
from intlower.compiler.operators import (
    AveragePool,
    Conv,
    ConvTranspose,
    GlobalAveragePool,
    MaxPool,
    known,
)

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The first input of a node that slides windows, as an image.

    Attributes:
        node: the ONNX node.
        scope: where it is converted.
        value: the image's name.
        size: its height and width; the height is 1 where the input has one spatial axis.
        flat: whether it has one.
    """

    node: OnnxNode
    scope: Scope
    value: str
    size: Pair
    flat: bool

    def pair(self, key: str, default: tuple[int, ...] | None = None) -> Pair:
        """Return a list attribute with one integer for each axis of the image: 1 for the height that was added."""
        if not self.flat:
            return self.node.pair(key, default)
        values = self.node.integers(key)
        if values is None and default is not None and len(default) == 2:
            return default[0], default[1]
        if values is None or len(values) != 1:
            raise InvalidGraph(f"{self.node.name}: {key} is {values}, not one integer")
        # Sizes, strides and dilations of an axis that has one element.
        return 1, values[0]

    def pads(self) -> tuple[int, int, int, int]:
        """Return the attribute `pads` as (top, left, bottom, right)."""
        wanted = 2 if self.flat else 4
        pads = self.node.integers("pads") or (0,) * wanted
        if len(pads) != wanted:
            number = "two" if self.flat else "four"
            raise InvalidGraph(f"{self.node.name}: pads is {pads}, not {number} integers")
        return (0, pads[0], 0, pads[1]) if self.flat else (pads[0], pads[1], pads[2], pads[3])

    def weights(self, name: str, role: str) -> str:
        """Return the name of constant weights [O, I, kh, kw], or [I, O, kh, kw]."""
        array = self.scope.floats(name, role)
        if self.flat and array.ndim == 3:
            return self.scope.add_constant(
                f"{self.node.name}_weights", array.reshape(*array.shape[:2], 1, -1)
            )
        return self.scope.constant(name, role)

    def emit(
        self,
        operator: Conv | ConvTranspose | AveragePool | MaxPool | GlobalAveragePool,
        parameters: tuple[str, ...] = (),
    ) -> None:
        """Append the node, and give its output the rank of its input."""
        output = self.node.outputs[0]
        inputs = (self.value, *parameters)
        if not self.flat:
            self.scope.emit(self.node.name, operator, inputs, output)
            return
        result = self.scope.emit_intermediate(f"{self.node.name}_image", operator, inputs)
        n, channels, _, length = self.scope.shape(result)
        self.scope.emit_reshape(self.node.name, result, (n, channels, length), output)


def as_image(node: OnnxNode, scope: Scope) -> Image:
    """Return the node's first input as an image.

    Raises:
        NotSupported: it has other than one or two spatial axes.
    """
    value = node.input(0)
    shape = scope.shape(value)
    if not scope.is_value(value):
        raise NotSupported("its input is a constant")
    if len(shape) == 5:
        raise NotSupported("it works on volumes [N, C, D, H, W], and only images are supported")
    if len(shape) not in (3, 4):
        raise NotSupported(f"only images [N, C, H, W] are, and its input has rank {len(shape)}")
    flat = len(shape) == 3
    if flat:
        wide = (shape[0], shape[1], 1, shape[2])
        value = scope.reshaped(f"{node.name}_wide", value, wide)
    height = 1 if flat else known(shape[2])
    return Image(
        node=node, scope=scope, value=value, size=(height, known(shape[-1])), flat=flat
    )
