"""Inputs of one to three spatial axes, as the images [N, C, H, W] that the graph's windows slide over."""

from __future__ import annotations

import math
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
Axes = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The first input of a node that slides windows, as an image.

    Attributes:
        node: the ONNX node.
        scope: where it is converted.
        value: the image's name.
        size: its height and width.
        axes: the spatial axes of the input that are its height and its width: none where an axis of size 1 was added, two
            where windows of one element, one step apart, slide over both.
    """

    node: OnnxNode
    scope: Scope
    value: str
    size: Pair
    axes: tuple[Axes, Axes]

    @property
    def flat(self) -> bool:
        """Whether the input has one spatial axis."""
        return not self.axes[0]

    @property
    def spatial(self) -> int:
        """How many spatial axes the input has."""
        return sum(len(axes) for axes in self.axes)

    def pair(self, key: str, default: tuple[int, ...] | None = None) -> Pair:
        """Return a list attribute with one integer for each axis of the image.

        Of an axis that was added, and of joined ones, the size of windows and the step between them are 1.
        """
        values = self.node.integers(key)
        if values is None and default is not None and len(default) == 2:
            return default[0], default[1]
        if values is None or len(values) != self.spatial:
            counts = ("one integer", "two integers", "three integers")
            raise InvalidGraph(
                f"{self.node.name}: {key} is {values}, not {counts[self.spatial - 1]}"
            )
        height, width = (values[axes[0]] if len(axes) == 1 else 1 for axes in self.axes)
        return height, width

    def pads(self) -> tuple[int, int, int, int]:
        """Return the attribute `pads` as (top, left, bottom, right)."""
        count = self.spatial
        pads = self.node.integers("pads") or (0,) * (2 * count)
        if len(pads) != 2 * count:
            number = ("two", "four", "six")[count - 1]
            raise InvalidGraph(f"{self.node.name}: pads is {pads}, not {number} integers")
        (top, bottom), (left, right) = (
            (pads[axes[0]], pads[count + axes[0]]) if len(axes) == 1 else (0, 0)
            for axes in self.axes
        )
        return top, left, bottom, right

    def weights(self, name: str, role: str) -> str:
        """Return the name of constant weights [O, I, kh, kw], or [I, O, kh, kw]."""
        array = self.scope.floats(name, role)
        if self.spatial == 2 or array.ndim != 2 + self.spatial:
            return self.scope.constant(name, role)
        kernel = [math.prod(array.shape[2 + axis] for axis in axes) for axes in self.axes]
        return self.scope.add_constant(
            f"{self.node.name}_weights", array.reshape(*array.shape[:2], *kernel)
        )

    def emit(
        self,
        operator: Conv | ConvTranspose | AveragePool | MaxPool | GlobalAveragePool,
        parameters: tuple[str, ...] = (),
    ) -> None:
        """Append the node, and give its output the rank of its input."""
        output = self.node.outputs[0]
        inputs = (self.value, *parameters)
        if self.spatial == 2:
            self.scope.emit(self.node.name, operator, inputs, output)
            return
        result = self.scope.emit_intermediate(f"{self.node.name}_image", operator, inputs)
        n, channels, *size = self.scope.shape(result)
        before = self.scope.shape(self.node.input(0))[2:]
        restored: list[int | None] = []
        for axes, length in zip(self.axes, size, strict=True):
            whole = length == 1  # a global pool leaves one element of joined axes
            restored += (
                [length] if len(axes) == 1 else [1 if whole else before[axis] for axis in axes]
            )
        self.scope.emit_reshape(self.node.name, result, (n, channels, *restored), output)


def as_image(node: OnnxNode, scope: Scope, kernel: tuple[int, ...] | None = None) -> Image:
    """Return the node's first input as an image.

    Args:
        node: it slides windows.
        scope: where it is converted.
        kernel: the windows' size on each spatial axis, where volumes are taken: those of which two neighbouring axes have
            windows of one element. A window over everything is the same whichever axes are one: (1, 1, 1).

    Raises:
        NotSupported: it has other spatial axes.
    """
    value = node.input(0)
    shape = scope.shape(value)
    if not scope.is_value(value):
        raise NotSupported("its input is a constant")
    if len(shape) not in (3, 4, 5):
        raise NotSupported(f"only images [N, C, H, W] are, and its input has rank {len(shape)}")
    lengths = tuple(known(d) for d in shape[2:])
    axes: tuple[Axes, Axes] = ((0,), (1,))
    if len(shape) == 3:
        axes = ((), (0,))
    elif len(shape) == 5:
        joined = _joined_axes(node, kernel)
        axes = ((0,), (1, 2)) if joined == 1 else ((0, 1), (2,))
    height, width = (math.prod(lengths[axis] for axis in own) for own in axes)
    if len(shape) != 4:
        value = scope.reshaped(f"{node.name}_wide", value, (shape[0], shape[1], height, width))
    return Image(node=node, scope=scope, value=value, size=(height, width), axes=axes)


def _joined_axes(node: OnnxNode, kernel: tuple[int, ...] | None) -> int:
    """Return the first of two neighbouring axes of a volume that can be one.

    Raises:
        NotSupported: there are none.
    """
    strides = node.integers("strides") or (1, 1, 1)
    pads = node.integers("pads") or (0,) * 6
    if node.text("auto_pad", "NOTSET") != "NOTSET":
        pads = (0,) * 6  # windows of one element, one step apart, need none
    if kernel is not None and len(kernel) == len(strides) == 3 and len(pads) == 6:
        plain = [
            kernel[axis] == strides[axis] == 1 and not pads[axis] and not pads[3 + axis]
            for axis in range(3)
        ]
        for first in (1, 0):
            if plain[first] and plain[first + 1]:
                return first
    raise NotSupported(
        "it works on volumes [N, C, D, H, W], along more than one of their axes or along the middle one"
    )
