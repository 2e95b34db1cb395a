"""The float network that a program stands for: what vendor tools read beside a file of grids.

Weights and biases are the reals of the program's codes, so quantizing them on the program's grids gives the codes again.
Every tensor of the program is a value of its name.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from intlower.backends.export.qdq import real_edge, write_instruction, write_real_outputs
from intlower.backends.export.qdq_graph import QdqGraph
from intlower.compiler.program import IntegerProgram, Tensor

_OPSET, _IR_VERSION = 17, 8


class FloatGraph(QdqGraph):
    """The same nodes without quantizers: quantizing is naming. Lives only inside one call of `to_float`."""

    saturates = False

    def __init__(self, program: IntegerProgram) -> None:
        super().__init__(
            values=[*program.tensors, *(step.output for step in program.host)],
            nodes=[instruction.name for instruction in program.instructions],
            exposed=(),
            float_bias=True,
        )
        self._tensors = frozenset(program.tensors)

    def dequantized_constant(
        self, name: str, codes: NDArray[Any], scale: NDArray[Any], zero_point: NDArray[Any]
    ) -> str:
        """Store the reals of codes; return their name."""
        shape = [-1 if zero_point.ndim else 1, *[1] * (codes.ndim - 1)]
        centred = codes.astype(np.int64) - zero_point.reshape(shape)
        return self.constant(name, centred.astype(np.float32) * scale.reshape(shape))

    def constant_real(self, tensor: Tensor, name: str, codes: NDArray[Any]) -> str:
        """Store the reals of codes on a tensor's grid; return their name."""
        return self.constant(name, tensor.grid.dequantize(codes))

    def input(self, tensor: Tensor, *, integer: bool) -> None:
        """Declare a graph input of the tensor's name."""
        assert not integer

    def quantize(self, tensor: Tensor, source: str) -> None:
        """Give the value `source` the tensor's name, or its reals where `source` is another tensor."""
        made = [node for node in self.nodes if list(node.output) == [source]]
        if made and source not in self._tensors:
            made[0].output[0] = tensor.name
        else:
            self.add("Identity", [source], tensor.name)

    def requantized(self, tensor: Tensor, source: str) -> str:
        """Return the value itself: reals need no round trip."""
        return source

    def real(self, tensor: Tensor) -> str:
        """Return the tensor's name."""
        return tensor.name

    def dequantize(self, tensor: Tensor, output: str) -> None:
        """Do nothing: the tensor's value has its name already."""
        assert output == tensor.name


def to_float(program: IntegerProgram) -> onnx.ModelProto:
    """Return a program's float network: float32 edges, host steps as the last nodes, the program's names.

    Initializers are `NAME/weights` and `NAME/bias` of the instruction NAME. The same program gives the same bytes.
    """
    writer = FloatGraph(program)
    for instruction in program.instructions:
        write_instruction(writer, program, instruction)
    inputs = [real_edge(program.tensors[name], name) for name in program.inputs]
    outputs = write_real_outputs(writer, program)
    graph = helper.make_graph(
        writer.nodes, program.target, inputs, outputs, initializer=writer.initializers
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="intlower",
    )
