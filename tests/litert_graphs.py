"""Random one-operator graphs for the target litert, with ranges of their values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from graph_building import graph_of
from hypothesis import strategies as st
from lowered_graphs import lower

from intlower.backends.litert import TARGET
from intlower.compiler.constant import Constant
from intlower.compiler.graph import Graph
from intlower.compiler.operators import (
    Add,
    AveragePool,
    ChannelClip,
    Clip,
    Concat,
    Conv,
    Flatten,
    Gemm,
    MaxPool,
    Pad,
    Relu,
    Reshape,
    Slice,
    Softmax,
)
from intlower.compiler.program import IntegerProgram

SPECS = {bits: TARGET.member(f"bits={bits}").spec for bits in ("8", "16x8")}


@dataclass
class Case:
    """Draws one graph: its input is x, its output y."""

    draw: Any

    def integer(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def __post_init__(self) -> None:
        self.generator = np.random.default_rng(self.integer(0, 2**32 - 1))
        self.image = (None, self.integer(1, 6), self.integer(1, 9), self.integer(1, 9))

    def range(self) -> tuple[float, float]:
        width = 10.0 ** self.generator.uniform(-1.5, 1.5)
        low = -width * self.draw(st.sampled_from([0.0, 0.3, 0.7]))
        return low, low + width

    def activation(self, channels: int | None) -> Any:
        choices = [
            None,
            Relu(),
            Clip(minimum=0.0, maximum=6.0),
            Clip(minimum=-0.2, maximum=0.7),
        ]
        if channels is None:
            return self.draw(st.sampled_from(choices))
        least = self.generator.uniform(-0.5, 0.2, channels).astype(np.float32)
        clip = ChannelClip(minimum=Constant.of(least), maximum=Constant.of(least + 1))
        return self.draw(st.sampled_from([*choices, clip]))

    def window(self, dilated: bool) -> tuple[Any, Any, Any, Any]:
        dilations = tuple(self.integer(1, 2) if dilated else 1 for _ in range(2))
        kernel = tuple(
            self.integer(1, min(4, (size - 1) // d + 1))
            for size, d in zip(self.image[2:], dilations, strict=True)
        )
        strides = self.integer(1, 3), self.integer(1, 3)
        begin = [self.integer(0, k - 1) for k in kernel]
        end = [self.integer(0, k - 1) for k in kernel]
        if self.draw(st.booleans()):  # those of SAME
            for axis, size in enumerate(self.image[2:]):
                extent = dilations[axis] * (kernel[axis] - 1) + 1
                windows = -(-size // strides[axis])
                total = max((windows - 1) * strides[axis] + extent - size, 0)
                begin[axis], end[axis] = total // 2, total - total // 2
        return kernel, strides, (*begin, *end), dilations

    def single(self, operator: Any, constants: Any = None, names: str = "x") -> Graph:
        return graph_of({"x": self.image}, [(operator, names, "y")], "y", constants)

    def conv(self) -> Graph:
        channels = self.image[1]
        kernel, strides, pads, dilations = self.window(dilated=True)
        kind = self.draw(st.sampled_from(["plain", "depthwise", "grouped"]))
        groups = {"plain": 1, "depthwise": channels, "grouped": 2 - channels % 2}[kind]
        outputs = groups * self.integer(1, 4)
        weights = self.generator.normal(size=(outputs, channels // groups, *kernel))
        weights *= 10.0 ** self.generator.uniform(-1, 1, (outputs, 1, 1, 1))
        bias = self.generator.normal(size=outputs)
        operator = Conv(strides=strides, pads=pads, dilations=dilations, groups=groups)
        graph = self.single(operator, {"w": weights, "b": bias}, "x w b")
        return self.with_activation(graph, outputs)

    def with_activation(self, graph: Graph, channels: int | None = None) -> Graph:
        node = replace(graph.nodes[-1], activation=self.activation(channels))
        return replace(graph, nodes=(*graph.nodes[:-1], node))

    def gemm(self) -> Graph:
        inputs, outputs = self.integer(1, 40), self.integer(1, 12)
        self.image = (None, inputs)
        weights = self.generator.normal(size=(outputs, inputs))
        graph = self.single(Gemm(), {"w": weights, "b": np.ones(outputs)}, "x w b")
        return self.with_activation(graph, outputs)

    def add(self) -> Graph:
        steps = [(Clip(), "x", "other"), (Add(), "x other", "y")]
        return self.with_activation(graph_of({"x": self.image}, steps, "y"))

    def mean(self) -> Graph:
        kernel, strides, pads, _ = self.window(dilated=False)
        counted = self.draw(st.booleans())
        pool = AveragePool(
            kernel_shape=kernel, strides=strides, pads=pads, count_include_pad=counted
        )
        return self.single(pool)

    def maximum(self) -> Graph:
        kernel, strides, pads, _ = self.window(dilated=False)
        return self.single(MaxPool(kernel_shape=kernel, strides=strides, pads=pads))

    def concat(self) -> Graph:
        steps = [
            (Clip(minimum=-0.1), "x", "other"),
            (Concat(axis=self.integer(1, 3)), "x other", "y"),
        ]
        return graph_of({"x": self.image}, steps, "y")

    def pad(self) -> Graph:
        pads = [self.integer(0, 2) for _ in range(6)]
        value = self.draw(st.sampled_from([0.0, 0.004]))
        return self.single(Pad(pads=(0, *pads[:3], 0, *pads[3:]), value=value))

    def slice(self) -> Graph:
        axes = sorted(self.draw(st.sets(st.integers(1, 3), min_size=1)))
        starts, ends, steps = [], [], []
        for axis in axes:
            last = self.image[axis] - 1
            first, final = sorted((self.integer(0, last), self.integer(0, last)))
            step = self.integer(1, 2) * self.draw(st.sampled_from([1, -1]))
            starts.append(first if step > 0 else final)
            ends.append(final + 1 if step > 0 else (first - 1 if first else -(1 << 40)))
            steps.append(step)
        return self.single(
            Slice(starts=tuple(starts), ends=tuple(ends), axes=tuple(axes), steps=tuple(steps))
        )

    def reshape(self) -> Graph:
        _, channels, height, width = self.image
        back = Reshape(shape=(0, width, channels, height))
        steps = [(Flatten(), "x", "flat"), (back, "flat", "y")]
        return graph_of({"x": self.image}, steps, "flat y")

    def clip(self) -> Graph:
        bounds = self.draw(st.sampled_from([(0.0, 6.0), (0.0, 1e9), (-0.3, 0.4)]))
        return self.single(Clip(minimum=bounds[0], maximum=bounds[1]))

    def softmax(self) -> Graph:
        return self.single(Softmax(axis=1))


KINDS = (
    "conv",
    "gemm",
    "add",
    "mean",
    "maximum",
    "concat",
    "pad",
    "slice",
    "reshape",
    "clip",
    "softmax",
)


@st.composite
def litert_programs(draw: Any, kind: str, bits: str) -> IntegerProgram:
    """The program of one random operator."""
    case = Case(draw)
    graph = getattr(case, kind)()
    return lower(graph, SPECS[bits], {name: case.range() for name in graph.values})
