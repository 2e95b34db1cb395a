"""Random instructions of TFLite's means and softmax."""

from __future__ import annotations

import numpy as np
from program_builder import ProgramBuilder

from intlower.compiler.constant import Constant
from intlower.compiler.operators import AveragePool


class FixedPointOperators(ProgramBuilder):
    """Every method adds one instruction that obeys the rules."""

    def mean_pool(self, x: str) -> str:
        kernel, strides, pads = self.window(x)
        pool = AveragePool(
            kernel_shape=kernel, strides=strides, pads=(pads[0], pads[1], pads[2], pads[3])
        )
        low, high = self.clamps(self.element(x), 1)
        attributes = {
            "kernel_shape": kernel,
            "strides": strides,
            "pads": pads,
            "minimum": int(low[0]),
            "maximum": int(high[0]),
        }
        shape = pool.output_shape([self.shape(x)])
        return self.emit(self.keeping("mean_pool", x), [x], shape, attributes=attributes)

    def softmax_fixed(self, x: str) -> str:
        steps = self.integer(1, 64)
        table = np.rint((2.0**31 - 1) * np.exp(-np.arange(256) / steps))
        constants = {"table": Constant.of(table, np.int32)}
        attributes = {"axis": self.integer(1, len(self.shape(x)) - 1)}
        key = self.keeping("softmax_fixed", x)
        return self.emit(key, [x], self.shape(x), constants, attributes)
