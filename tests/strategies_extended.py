"""Random instructions of tables, rearrangement, products of tensors and resampling."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from program_builder import ProgramBuilder

from intlower.compiler.constant import Constant
from intlower.compiler.operators import Shape, Transpose, broadcast
from intlower.kernels.signature import KernelKey

EXTENDED_OPERATORS = (
    "lookup",
    "lookup_channels",
    "transpose",
    "gather",
    "multiply",
    "resample",
)


class ExtendedOperators(ProgramBuilder):
    """Every method adds one instruction that obeys the rules."""

    def _table(self, operator: str, x: str, channels: tuple[int, ...]) -> str:
        activation, output = self.element(x), self.output_element()
        low, high = activation.limits
        shape = (*channels, high - low + 1)
        table = self.array(*output.limits, shape, output.dtype_name)
        key = KernelKey(operator=operator, activation=activation, output=output)
        return self.emit(key, [x], self.shape(x), {"table": table})

    def lookup(self, x: str) -> str:
        return self._table("lookup", x, ())

    def lookup_channels(self, x: str) -> str:
        return self._table("lookup_channels", x, self.sizes(x)[:1])

    def transpose(self, x: str) -> str:
        axes = self.draw(st.permutations(range(1, len(self.shape(x)))))
        operator = Transpose(permutation=(0, *axes))
        shape = operator.output_shape([self.shape(x)])
        attributes: dict[str, Any] = {"permutation": operator.permutation}
        return self.emit(self.keeping("transpose", x), [x], shape, attributes=attributes)

    def gather(self, x: str) -> str:
        axis = self.integer(1, len(self.shape(x)) - 1)
        size = self.shape(x)[axis] or 1
        count = self.integer(1, size + 2)
        indices = self.array(0, size - 1, (count,), "int32")
        shape = (*self.shape(x)[:axis], count, *self.shape(x)[axis + 1 :])
        key = self.keeping("gather", x)
        return self.emit(key, [x], shape, {"indices": indices}, {"axis": axis})

    def multiply(self, x: str) -> str:
        """A product with itself, a peer, or a part of itself that broadcasts."""
        peers = [
            name
            for name, tensor in self.tensors.items()
            if tensor.grid.element is self.element(x)
            and len(tensor.shape) == len(self.shape(x))
            and _fit(tensor.shape, self.shape(x))
        ]
        other = self.draw(st.sampled_from(peers))
        axis = self.integer(0, len(self.shape(x)) - 1)
        if axis:
            narrow = (*self.shape(other)[:axis], 1, *self.shape(other)[axis + 1 :])
            other = self.emit(
                self.keeping("gather", other),
                [other],
                narrow,
                {"indices": Constant.of([0], np.int32)},
                {"axis": axis},
            )
        activation, output = self.element(x), self.output_element()
        zero_points = (self.zero_point(activation), self.zero_point(activation))
        reaches = [max(abs(end - z) for end in activation.limits) for z in zero_points]
        bound = reaches[0] * reaches[1]
        if bound > (1 << 31) - 1:  # past what Q31 arithmetic takes
            zero_points = (sum(activation.limits) // 2,) * 2
            bound = 1 << 30
        attributes = {**self._uniform(output, bound), "input_zero_points": zero_points}
        key = KernelKey(
            operator="multiply",
            activation=activation,
            output=output,
            requantize=self.requantize,
        )
        pair = [x, other] if self.draw(st.booleans()) else [other, x]
        shape = broadcast(*(self.shape(name) for name in pair))
        return self.emit(key, pair, shape, attributes=attributes)

    def resample(self, x: str) -> str:
        activation, output = self.element(x), self.output_element()
        sizes = self.sizes(x)[1:]
        constants: dict[str, Constant] = {}
        zero_point = self.zero_point(activation)
        bound = max(abs(end - zero_point) for end in activation.limits)
        wanted = []
        for side, size in zip(("row", "column"), sizes, strict=True):
            shape = (self.integer(1, 6), self.integer(1, 3))
            limit = 1 << self.integer(0, 5)
            weights = self.array(-limit, limit, shape, "int32")
            constants[f"{side}_indices"] = self.array(0, size - 1, shape, "int32")
            constants[f"{side}_weights"] = weights
            bound *= max(1, int(np.abs(weights.array).sum(axis=1).max()))
            wanted.append(shape[0])
        attributes = {**self._uniform(output, bound), "input_zero_point": zero_point}
        key = KernelKey(
            operator="resample",
            activation=activation,
            output=output,
            requantize=self.requantize,
        )
        shape_out = (*self.shape(x)[:2], *wanted)
        return self.emit(key, [x], shape_out, constants, attributes)

    def _uniform(self, output: Any, bound: int) -> dict[str, Any]:
        multiplier, shift = self.scale(bound, 1)
        if self.requantize.power_of_two:
            multiplier = np.minimum(multiplier, 1 << 29)
        low, high = self.clamps(output, 1)
        return {
            "multiplier": int(multiplier[0]),
            "shift": int(shift[0]),
            "output_zero_point": self.zero_point(output),
            "minimum": int(low[0]),
            "maximum": int(high[0]),
        }


def _fit(a: Shape, b: Shape) -> bool:
    return a[0] == b[0] and all(m == n or 1 in (m, n) for m, n in zip(a, b, strict=True))
