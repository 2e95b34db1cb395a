"""Random instructions of products of activations, normalizations, quotients, constants and conversions."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from strategies_extended import ExtendedOperators

from intlower.kernels.numerics_general import OCTAVE_ENTRIES
from intlower.kernels.signature import ElementType, KernelKey

GENERAL_OPERATORS = (
    "matmul",
    "normalize",
    "lrn",
    "divide",
    "constant",
    "convert",
    "lookup_interpolated",
)

_INT32 = ElementType.INT32.limits
_SIXTEEN_BITS = (ElementType.INT16, ElementType.UINT16)


class GeneralOperators(ExtendedOperators):
    """Every method adds one instruction that obeys the rules."""

    def _limits(self, output: ElementType) -> dict[str, Any]:
        low, high = self.clamps(output, 1)
        return {
            "output_zero_point": self.zero_point(output),
            "minimum": int(low[0]),
            "maximum": int(high[0]),
        }

    def _key(self, operator: str, x: str, output: ElementType) -> KernelKey:
        return KernelKey(operator=operator, activation=self.element(x), output=output)

    def _zero_points(self, element: ElementType) -> tuple[int, int]:
        return self.zero_point(element), self.zero_point(element)

    def matmul(self, x: str) -> str:
        """A product with a transpose, so that the sizes fit."""
        if len(self.shape(x)) < 3:
            sizes = (1, *self.sizes(x))
            x = self.emit(
                self.keeping("reshape", x),
                [x],
                (self.batch, *sizes),
                attributes={"shape": (0, *sizes)},
            )
        shape = self.shape(x)
        rank = len(shape)
        other = self.emit(
            self.keeping("transpose", x),
            [x],
            (*shape[:-2], shape[-1], shape[-2]),
            attributes={"permutation": (*range(rank - 2), rank - 1, rank - 2)},
        )
        activation, output = self.element(x), self.output_element()
        zero_points = self._zero_points(activation)
        depth = shape[-1] or 1
        bound = depth
        for z in zero_points:
            bound *= max(abs(end - z) for end in activation.limits)
        key = KernelKey(
            operator="matmul",
            activation=activation,
            output=output,
            requantize=self.requantize,
        )
        wide = bound > (1 << 31) - 1
        scaled = self._uniform(output, min(bound, (1 << 31) - 1))
        if wide:  # no rule of 32 bits takes it
            return self.lookup_interpolated(x)
        attributes = {**scaled, "input_zero_points": zero_points}
        return self.emit(key, [x, other], (*shape[:-1], shape[-2]), attributes=attributes)

    def normalize(self, x: str) -> str:
        sizes = self.sizes(x)
        rows, count = sizes[0], int(np.prod(sizes[1:]))
        flat = self.emit(
            self.keeping("reshape", x),
            [x],
            (self.batch, rows, count),
            attributes={"shape": (0, rows, count)},
        )
        output = self.output_element()
        shape = (self.draw(st.sampled_from([1, rows])), self.draw(st.sampled_from([1, count])))
        attributes = {
            "bias_shift": self.integer(0, 29),
            "shift": self.integer(0, 62),
            "epsilon": self.draw(st.sampled_from([1, 1000, 1 << 40, (1 << 61) - 1])),
            "input_shift": self.integer(0, 3),
            **self._limits(output),
        }
        if self.draw(st.booleans()):  # near the codes
            attributes |= {"shift": 38, "bias_shift": self.integer(0, 16)}
        constants = {
            name: self.array(*_INT32, shape, "int32") for name in ("multiplier", "bias")
        }
        key = self._key("normalize", x, output)
        return self.emit(key, [flat], self.shape(flat), constants, attributes)

    def lrn(self, x: str) -> str:
        output, channels = self.output_element(), self.sizes(x)[0]
        zero_point = self.zero_point(self.element(x))
        size = self.integer(1, min(2 * channels + 1, 9))
        reach = max(abs(end - zero_point) for end in self.element(x).limits)
        needed = max((min(size, channels) * reach**2).bit_length() - 31, 0)
        attributes = {
            "size": size,
            "sum_shift": self.integer(needed, needed + 3),
            "shift": self.integer(28, 34),
            "input_zero_point": zero_point,
            **self._limits(output),
        }
        table = self.array(0, _INT32[1], (OCTAVE_ENTRIES,), "int32")
        key = self._key("lrn", x, output)
        return self.emit(key, [x], self.shape(x), {"table": table}, attributes)

    def divide(self, x: str) -> str:
        peers = [
            name
            for name, tensor in self.tensors.items()
            if tensor.grid.element is self.element(x) and tensor.shape == self.shape(x)
        ]
        output = self.output_element()
        attributes = {
            "multiplier": self.integer(0, _INT32[1]),
            "shift": self.integer(0, 40),
            "input_zero_points": self._zero_points(self.element(x)),
            **self._limits(output),
        }
        pair = [x, self.draw(st.sampled_from(peers))]
        key = self._key("divide", x, output)
        return self.emit(key, pair, self.shape(x), attributes=attributes)

    def constant(self, x: str) -> str:
        output = self.output_element()
        codes = self.array(*output.limits, self.sizes(x), output.dtype_name)
        return self.emit(self._key("constant", x, output), [x], self.shape(x), {"codes": codes})

    def convert(self, x: str) -> str:
        output = self.output_element()
        attributes = {
            "multiplier": self.integer(0, 1 << 29),
            "shift": self.integer(1, 61),
            "input_zero_point": self.zero_point(self.element(x)),
            **self._limits(output),
        }
        if self.draw(st.booleans()):  # near the codes
            attributes |= {"multiplier": self.integer(1 << 28, 1 << 29), "shift": 29}
        key = self._key("convert", x, output)
        return self.emit(key, [x], self.shape(x), attributes=attributes)

    def lookup_interpolated(self, x: str) -> str:
        if self.element(x) not in _SIXTEEN_BITS:
            return self.convert(x)
        output = self.output_element()
        table = self.array(*output.limits, (513,), "int32")
        key = self._key("lookup_interpolated", x, output)
        return self.emit(key, [x], self.shape(x), {"table": table})
