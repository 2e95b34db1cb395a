"""The nodes and initializers of a Q/DQ model in the making."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from intlower.compiler.grids import uniform
from intlower.compiler.program import Tensor


class QdqGraph:
    """Collects nodes; knows, for every tensor, the value that holds its codes and the one that holds its reals.

    Lives only inside one call of `to_qdq`.

    Args:
        values: names of the program's tensors, which no other value may take.
        nodes: names of its instructions, which no other node may take.
        exposed: tensors whose codes are graph outputs, under the tensor's own name.
        unsigned: store signed codes as unsigned ones; see `to_unsigned`.
        float_bias: store biases as reals.
    """

    saturates = True
    """Whether a quantizer ends at the least code: then a ReLU whose 0 is that code needs no node."""

    def __init__(
        self,
        *,
        values: Iterable[str],
        nodes: Iterable[str],
        exposed: Iterable[str],
        unsigned: bool = False,
        float_bias: bool = False,
    ) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._values = set(values)
        self._nodes = set(nodes)
        self._exposed = set(exposed)
        self._unsigned = unsigned
        self._float_bias = float_bias
        self._codes: dict[str, str] = {}
        self._reals: dict[str, str] = {}
        self._grids: dict[str, list[str]] = {}

    def fresh(self, name: str) -> str:
        """Return a value's name, with a number where it is taken."""
        return _unique(name, self._values)

    def add(
        self,
        operator: str,
        inputs: Sequence[str],
        output: str,
        name: str = "",
        **attributes: Any,
    ) -> None:
        """Append a node with one output.

        Args:
            operator: of ONNX.
            inputs: names of values.
            output: name of the value.
            name: the instruction that the node is; a node that helps one is named by its output.
            attributes: of the node; None for one to leave out.
        """
        name = name or _unique(output, self._nodes)
        self.nodes.append(
            helper.make_node(operator, list(inputs), [output], name=name, **attributes)
        )

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Store an array; return its name."""
        name = self.fresh(name)
        self.initializers.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def dequantized_constant(
        self, name: str, codes: NDArray[Any], scale: NDArray[Any], zero_point: NDArray[Any]
    ) -> str:
        """Store codes with their dequantizer (along axis 0 where there is one scale for each channel)."""
        stored = [
            self.constant(name, codes),
            self.constant(f"{name}/scale", scale.reshape(zero_point.shape)),
            self.constant(f"{name}/zero_point", zero_point),
        ]
        real = self.fresh(f"{name}/real")
        self.add("DequantizeLinear", stored, real, axis=0 if zero_point.ndim else None)
        return real

    def bias(self, name: str, codes: NDArray[Any], scale: NDArray[np.float32]) -> str:
        """Store a bias, int32 codes with their dequantizer or reals; return the name of the reals.

        Codes of 64 bits, of targets whose sums are as wide, become reals: DequantizeLinear takes none.
        """
        if self._float_bias or codes.dtype.itemsize > 4:
            return self.constant(name, real_bias(codes, scale))
        return self.dequantized_constant(name, codes, scale, np.zeros(scale.shape, np.int32))

    def constant_real(self, tensor: Tensor, name: str, codes: NDArray[Any]) -> str:
        """Store codes on a tensor's grid with their dequantizer; return the name of the reals."""
        stored = self.constant(name, to_unsigned(codes) if self._unsigned else codes)
        real = self.fresh(f"{name}/real")
        self.add("DequantizeLinear", [stored, *self._grid(tensor)], real)
        return real

    def input(self, tensor: Tensor, *, integer: bool) -> None:
        """Declare a graph input of the tensor's name: its codes, or reals that are quantized first."""
        if integer:
            self._codes[tensor.name] = tensor.name
            return
        source = tensor.name
        grid = uniform(tensor.grid, tensor.name)
        if grid.limits != grid.element.limits:  # a quantizer ends where its type does
            source = self.fresh(f"{tensor.name}/limited")
            ends = [
                self.constant(f"{tensor.name}/{side}", np.array(limit, np.float32))
                for side, limit in zip(("minimum", "maximum"), grid.real_limits, strict=True)
            ]
            self.add("Clip", [tensor.name, *ends], source)
        self.quantize(tensor, source)

    def quantize(self, tensor: Tensor, source: str) -> None:
        """Define a tensor as the quantized value of `source`."""
        codes = tensor.name if tensor.name in self._exposed else self._codes_name(tensor)
        self.add("QuantizeLinear", [source, *self._grid(tensor)], codes)
        self._codes[tensor.name] = codes

    def requantized(self, tensor: Tensor, source: str) -> str:
        """Return the value of `source` after a round trip through the tensor's grid."""
        codes = self._codes_name(tensor)
        self.add("QuantizeLinear", [source, *self._grid(tensor)], codes)
        real = self.fresh(f"{tensor.name}/rounded")
        self.add("DequantizeLinear", [codes, *self._grid(tensor)], real)
        return real

    def real(self, tensor: Tensor) -> str:
        """Return the value that holds a tensor's reals, after writing its dequantizer where there is none yet."""
        if tensor.name not in self._reals:
            self._reals[tensor.name] = self.fresh(f"{tensor.name}/real")
            self.dequantize(tensor, self._reals[tensor.name])
        return self._reals[tensor.name]

    def dequantize(self, tensor: Tensor, output: str) -> None:
        """Write a dequantizer of a tensor's codes."""
        self.add("DequantizeLinear", [self._codes[tensor.name], *self._grid(tensor)], output)

    def _codes_name(self, tensor: Tensor) -> str:
        return self.fresh(f"{tensor.name}/codes")

    def _grid(self, tensor: Tensor) -> list[str]:
        """Return the names of the tensor's scale and zero point, stored once."""
        if tensor.name not in self._grids:
            grid = uniform(tensor.grid, tensor.name)
            zero_point = np.array(grid.zero_point, grid.dtype)
            self._grids[tensor.name] = [
                self.constant(f"{tensor.name}/scale", grid.scale.array),
                self.constant(
                    f"{tensor.name}/zero_point",
                    to_unsigned(zero_point) if self._unsigned else zero_point,
                ),
            ]
        return self._grids[tensor.name]


def real_bias(codes: NDArray[Any], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the reals of int32 bias codes, rounded once to float32."""
    return (codes.astype(np.float64) * scale.astype(np.float64)).astype(np.float32)


def to_unsigned(codes: NDArray[Any]) -> NDArray[Any]:
    """Return codes on the same levels, counted from the least code of their type: int8 -128..127 as uint8 0..255.

    >>> to_unsigned(np.array([-128, 0, 127], np.int8)).tolist()
    [0, 128, 255]
    """
    if codes.dtype.kind == "u":
        return codes
    least = np.iinfo(codes.dtype).min
    unsigned = np.dtype(f"u{codes.dtype.itemsize}")
    return np.asarray(codes.astype(np.int64) - least).astype(unsigned)


def _unique(name: str, taken: set[str]) -> str:
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    return candidate
