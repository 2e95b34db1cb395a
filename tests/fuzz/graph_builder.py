"""Networks of operators that ONNX itself accepts.

An operator with random attributes is proposed; ONNX's shape inference says whether it is valid and what comes out. So
nothing here knows our own rules of shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from networks import NetworkBuilder
from onnx import helper

Shape = tuple[int, ...]

_LARGEST = 2048
_BATCH = 2


class GraphBuilder(NetworkBuilder):
    """A network that grows by operators which ONNX accepts.

    Args:
        seed: of everything.
        steps: whether functions with jumps may be used; a rounding error before one becomes a whole step.
        plain: names of the methods that add operators; empty for all.
    """

    def __init__(self, seed: int, *, steps: bool = False, plain: Sequence[str] = ()) -> None:
        super().__init__(opset=int(np.random.default_rng(seed).choice([13, 17, 18])), seed=seed)
        self.shapes: dict[str, Shape] = {}
        self.inputs: dict[str, list[int | str]] = {}
        self._steps = steps
        self.batch: int | str = self.pick("N", "N", _BATCH)
        for index in range(int(self.random.integers(1, 3))):
            shape = self._input_shape()
            self.shapes[f"input_{index}"] = (_BATCH, *shape)
            self.inputs[f"input_{index}"] = [self.batch, *shape]
        kinds = plain or [
            *(name for name in dir(self) if name.startswith("add_")),
            *3 * ("add_conv", "add_conv", "add_gemm", "add_binary"),
        ]
        self._kinds: list[Callable[[str], str | None]] = [getattr(self, name) for name in kinds]

    def _input_shape(self) -> Shape:
        channels, side = self.integer(1, 9), self.integer(3, 9)
        rank = int(self.random.choice([2, 3, 4, 4, 4, 4]))
        return {
            2: (channels * 2,),
            3: (side, channels),
            4: (channels, side, self.integer(3, 9)),
        }[rank]

    def integer(self, low: int, high: int) -> int:
        """Return an integer from low to high - 1."""
        return int(self.random.integers(low, high))

    def pick(self, *choices: Any) -> Any:
        """Return one of the choices."""
        return choices[self.integer(0, len(choices))]

    def grow(self, count: int) -> None:
        """Add about so many operators, on values that were made lately more often than on old ones."""
        made = 0
        for _ in range(8 * count):
            names = list(self.shapes)
            recent = names[-4:] if self.random.random() < 0.7 else names
            made += (
                self._kinds[self.integer(0, len(self._kinds))](self.pick(*recent)) is not None
            )
            if made >= count:
                return

    def network(self) -> onnx.ModelProto:
        """Return the model; its outputs are the values that nothing reads, up to three of them."""
        read = {name for node in self.nodes for name in node.input}
        ends = [name for name in self.shapes if name not in read and name not in self.inputs]
        self.initializers = [tensor for tensor in self.initializers if tensor.name in read]
        return self.model(self.inputs, *ends[-3:])

    def propose(
        self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any
    ) -> str | None:
        """Append a node where shape inference accepts it and its result is not too large; return its last output."""
        before = len(self.nodes)
        name = self.node(operator, *inputs, **attributes)
        self.nodes[-1].output.extend(f"{name}_{i}" for i in range(1, outputs))
        graph = helper.make_graph(
            [self.nodes[-1]],
            "probe",
            [
                helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, self.shapes[value])
                for value in dict.fromkeys(inputs)
                if value in self.shapes
            ],
            [onnx.ValueInfoProto(name=output) for output in self.nodes[-1].output],
            [tensor for tensor in self.initializers if tensor.name in inputs],
        )
        probe = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        try:
            found = onnx.shape_inference.infer_shapes(probe, strict_mode=True, data_prop=True)
            shapes = {
                info.name: tuple(d.dim_value for d in info.type.tensor_type.shape.dim)
                for info in found.graph.output
            }
        except onnx.shape_inference.InferenceError:
            shapes = {}
        good = [
            shape
            for shape in shapes.values()
            if 2 <= len(shape) <= 4
            and shape[0] == _BATCH
            and min(shape) > 0
            and np.prod(shape) <= _BATCH * _LARGEST
        ]
        if len(good) != outputs:
            del self.nodes[before:]
            return None
        self.shapes |= shapes
        return str(self.nodes[-1].output[-1])

    def node_of(self, operator: str, x: str) -> str:
        """Append an operator that keeps the shape."""
        made = self.propose(operator, x)
        assert made is not None
        return made
