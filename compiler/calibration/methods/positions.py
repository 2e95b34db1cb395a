"""Binary positions: how many fraction bits a value gets where scales are powers of two."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.calibration.methods.sample import Sample, WeightedNumbers
from intlower.compiler.grids.uniform import round_real
from intlower.kernels.numerics import Rounding

# The position of a value that is all 0. Source: Xilinx/Vitis-AI vai_q_pytorch csrc/cpu/nndct_fix_kernels_cpu.cc, cpu_diff_S.
ZERO_POSITION = 18

# float32's least normal number: a step at or below it is none.
_LEAST_STEP = 2.0**-126

# Positions tried: inside the network, and at its inputs.
SCOPE, INPUT_SCOPE = 5, 1


def greatest_position(minimum: float, maximum: float, bits: int) -> int:
    """Return the greatest position at which no number of the range saturates by more than half a step.

        floor(-log2(max(minimum / (-2**(bits-1) - 0.5), maximum / (2**(bits-1) - 0.5))))

    Source: Xilinx/Vitis-AI, as ZERO_POSITION.

    >>> greatest_position(-1.0, 0.99, 8), greatest_position(0.0, 1.0, 8), greatest_position(0.0, 0.0, 8)
    (7, 6, 18)
    """
    half = 1 << (bits - 1)
    step = max(minimum / (-half - 0.5), maximum / (half - 0.5))
    return ZERO_POSITION if step <= _LEAST_STEP else math.floor(-math.log2(step))


def min_mse_position(
    numbers: WeightedNumbers,
    *,
    bits: int = 8,
    scope: int = SCOPE,
    rounding: Rounding = Rounding.HALF_UP,
    greatest: int | None = None,
) -> int:
    """Return the position with the least sum of squared errors, the first of equals ("diffs").

    Tried are `scope` positions from `greatest_position` up: each one further halves the step and saturates more. Source:
    Xilinx/Vitis-AI, as ZERO_POSITION; nndct_shared/quantization (scope 5, inputs 1; at most 12 for 8 bits, 15 for more).

    Args:
        numbers: of the value, at least one; of moments, see `calibration/modelled.py`.
        bits: of a code.
        scope: positions tried, at least 1.
        rounding: of numbers to codes; HALF_UP for activations, HALF_AWAY for parameters and inputs.
        greatest: the greatest position allowed, None for any.
    """
    half = 1 << (bits - 1)
    x, weights = numbers.values, numbers.weights
    start = greatest_position(float(x.min()), float(x.max()), bits)
    best, least = start, math.inf
    for position in range(start, start + scope):
        step = 2.0**-position
        # Past the limits before rounding is past them after.
        codes = np.clip(x / step, -2 * half, 2 * half)
        quantized = step * np.clip(round_real(codes, rounding), -half, half - 1)
        error = float(np.dot(weights, np.square(quantized - x)))
        if error < least:
            best, least = position, error
    return best if greatest is None else min(best, greatest)


def most_frequent(positions: Sequence[int]) -> int:
    """Return the position found for most batches; the least of equals, so that nothing saturates more (our definition).

    >>> most_frequent([5, 4, 5, 6, 4])
    4
    """
    counts = Counter(positions)
    return min(counts, key=lambda position: (-counts[position], position))


@dataclass(frozen=True, slots=True)
class BatchPositions:
    """The position of the least squared error of each batch.

    Source: Xilinx/Vitis-AI nndct_shared/quantization and torchquantizer.py: activations take the mode over batches.

    Attributes:
        bits: of a code.
        found: one for each batch seen.
    """

    bits: int
    found: tuple[int, ...] = ()

    def including(self, array: NDArray[Any]) -> BatchPositions:
        """Return the positions with that of a batch more, of up to 65_536 of its numbers.

        Args:
            array: finite numbers, any shape.
        """
        numbers = Sample().including(array).numbers
        return BatchPositions(
            self.bits, (*self.found, min_mse_position(numbers, bits=self.bits))
        )


def non_overflow_position(minimum: float, maximum: float, bits: int = 8) -> int:
    """Return rint(-log2(scale)) of the symmetric scale of a range, 2 * max(|minimum|, |maximum|) / (2**bits - 1).

    "Non overflow" only up to the rounding of the position. Source: Xilinx/Vitis-AI vai_q_onnx/quant_utils.py and
    calibrate.py. ZERO_POSITION where the range is empty.

    >>> non_overflow_position(-1.0, 1.0), non_overflow_position(0.0, 6.0)
    (7, 4)
    """
    bound = max(abs(minimum), abs(maximum))
    if bound <= _LEAST_STEP:
        return ZERO_POSITION
    return round(-math.log2(2 * bound / ((1 << bits) - 1)))


def ristretto_fraction(bound: float, bits: int, *, sign_bit: bool) -> int:
    """Return Ristretto's fraction length of a value, bits - il; may be negative or more than `bits`.

        il = ceil(log2 bound)          without the sign: activations, which saturate at 2**(il - 1) on purpose
        il = ceil(log2 bound + 1)      with it: parameters, which never saturate by more than a step

    Source: pmgysel/caffe src/caffe/ristretto/quantization.cpp. The range holds no bound of 0 there; here il is that of 1.

    Args:
        bound: max|x|, not negative.
        bits: of a code.
        sign_bit: whether the integer length has a bit for the sign.

    >>> ristretto_fraction(6.0, 8, sign_bit=False), ristretto_fraction(6.0, 8, sign_bit=True)
    (5, 4)
    """
    length = 0 if bound == 0 else math.ceil(math.log2(bound))
    return bits - length - sign_bit
