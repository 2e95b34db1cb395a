"""The scalar rules of integer arithmetic, each stated once as a numbered equation.

Every function here is plain arithmetic without branches, so that one body serves three readers: Python's unbounded
integers (the specification), NumPy int64 arrays (the oracle, `reference.py`) and Numba (the kernels, which inline it
through `jitable.py`). The fourth reader, the ONNX witness, states the rules again on its own.

Notation: ``>>`` is the arithmetic shift (floor), ``x`` an integer or an int64 array, ``n >= 0`` a number of bits.
"""

from __future__ import annotations

import enum
from typing import Any

# An int, an int64 array, or a Numba int64: the bodies below are valid for all three.
Integer = Any


class Rounding(enum.Enum):
    """How a value between two integers becomes one of them.

    =========  =====================  ====  =====
    name       tie rule               2.5   -2.5
    =========  =====================  ====  =====
    HALF_EVEN  ties to even              2     -2
    HALF_AWAY  ties away from zero       3     -3
    HALF_UP    ties toward +infinity     3     -2
    FLOOR      toward -infinity          2     -3
    =========  =====================  ====  =====
    """

    HALF_EVEN = "half_even"
    HALF_AWAY = "half_away"
    HALF_UP = "half_up"
    FLOOR = "floor"


def shift_floor(x: Integer, n: Integer) -> Integer:
    """Return x / 2**n rounded toward -infinity, equation (1).

        q = floor(x / 2**n)

    >>> [shift_floor(x, 1) for x in (-5, -3, 3, 5)]
    [-3, -2, 1, 2]
    """
    return x >> n


def shift_half_up(x: Integer, n: Integer) -> Integer:
    """Return x / 2**n rounded to nearest, ties toward +infinity, equation (2).

        q = floor((x + 2**(n-1)) / 2**n)

    Source: RSHIFT_RN, ModelTC/NART art/modules/quant/include/art/quant/quant_helper.h.

    >>> [shift_half_up(x, 1) for x in (-5, -3, 3, 5)]
    [-2, -1, 2, 3]
    """
    return (x + ((1 << n) >> 1)) >> n


def shift_half_away(x: Integer, n: Integer) -> Integer:
    """Return x / 2**n rounded to nearest, ties away from zero, equation (3).

        q = sign(x) * floor((|x| + 2**(n-1)) / 2**n)

    Written without the sign: a negative tie is pushed down by one before the floor.
    Source: RoundingDivideByPOT, google/gemmlowp fixedpoint/fixedpoint.h.

    >>> [shift_half_away(x, 1) for x in (-5, -3, 3, 5)]
    [-3, -2, 2, 3]
    """
    return (x + ((1 << n) >> 1) - ((x < 0) & (n > 0))) >> n


def shift_half_even(x: Integer, n: Integer) -> Integer:
    """Return x / 2**n rounded to nearest, ties to even, equation (4).

        q = floor((x + 2**(n-1) - 1 + (floor(x / 2**n) mod 2)) / 2**n)    for n > 0

    Source: IEEE 754-2019 roundTiesToEven, applied to a quotient of integers.

    >>> [shift_half_even(x, 1) for x in (-5, -3, 3, 5)]
    [-2, -2, 2, 2]
    """
    return (x + ((1 << n) >> 1) - ((((x >> n) & 1) == 0) & (n > 0))) >> n


def clamp(x: Integer, low: Integer, high: Integer) -> Integer:
    """Return x limited to [low, high], equation (5): saturation and ReLU alike.

    >>> [clamp(x, 0, 255) for x in (-1, 7, 256)]
    [0, 7, 255]
    """
    below = low - x
    x = x + below * (below > 0)
    above = x - high
    return x - above * (above > 0)


def excess_bits(magnitude: Integer, precision: int) -> Integer:
    """Return by how many bits a magnitude is longer than `precision`, equation (6).

        e = max(0, bit_length(magnitude) - precision)

    Args:
        magnitude: in [0, 2**(precision + 32)).
        precision: significant bits, at least 1.

    >>> [excess_bits(m, 24) for m in (0, 2**24 - 1, 2**24, 2**56 - 1)]
    [0, 0, 1, 32]
    """
    excess = magnitude * 0
    for step in (16, 8, 4, 2, 1, 1):
        longer = (magnitude >> (excess + (step + precision - 1))) > 0
        excess = excess + step * longer
    return excess


def round_to_float32(x: Integer) -> Integer:
    """Return x rounded to 24 significant bits, ties to even, equation (7).

        r = 2**e * shift_half_even(x, e),  e = excess_bits(|x|, 24)

    That is the conversion of an integer to IEEE single precision, as an integer again.

    Args:
        x: in (-2**56, 2**56).

    >>> [round_to_float32(x) for x in (2**24 + 1, 2**24 + 3, -(2**24) - 3)]
    [16777216, 16777220, -16777220]
    """
    excess = excess_bits(abs(x), 24)
    return shift_half_even(x, excess) << excess


def scale_float32(accumulator: Integer, mantissa: Integer, shift: Integer) -> Integer:
    """Return the accumulator times a single-precision scale, as an integer, equation (8).

        scale = mantissa / 2**shift
        q = half_even( float32( float32(accumulator) * scale ) )

    One IEEE single-precision multiply, ties to even at each of the three roundings: of the
    accumulator to 24 bits, of the exact 48-bit product to 24 bits, of the result to an integer.

    Args:
        accumulator: int32.
        mantissa: in [0, 2**24); below 2**23 only where the scale is under 2**-38.
        shift: in [1, 62], so that the scale is below 2**23.

    Source: onnxruntime's QLinearConv on CPU, measured equal for every int32 accumulator tried.

    >>> scale_float32(5, 1 << 23, 24)      # 2.5: to even
    2
    """
    product = round_to_float32(round_to_float32(accumulator) * mantissa)
    return shift_half_even(product, shift)


def scale_float32_biased(
    accumulator: Integer, bias: Integer, mantissa: Integer, shift: Integer
) -> Integer:
    """Return equation (8) of an accumulator whose bias is added in single precision, equation (15).

        q = half_even( float32( float32( float32(accumulator) + bias ) * scale ) )

    Args:
        accumulator: int32 without the bias, and with it.
        bias: an int32 that single precision holds exactly.
        mantissa: see `scale_float32`.
        shift: see `scale_float32`.

    Source: the epilogue of ModelTC/NART art/modules/cuda_quant/include/art/cuda_quant/conv/turing_indirect_conv_help.cuh.

    >>> scale_float32_biased(2**24 + 1, 1, 1 << 23, 23), scale_float32(2**24 + 2, 1 << 23, 23)
    (16777216, 16777218)
    """
    total = round_to_float32(round_to_float32(accumulator) + bias)
    return shift_half_even(round_to_float32(total * mantissa), shift)


def doubling_high_multiply(a: Integer, multiplier: Integer) -> Integer:
    """Return the product of two Q31 numbers as a Q31 number, equation (10).

        q = floor((a * multiplier + 2**30) / 2**31)

    gemmlowp nudges by the sign and then truncates, which is algebraically this: ties go up.

    Args:
        a: int32.
        multiplier: in [0, 2**31).

    Source: SaturatingRoundingDoublingHighMul, google/gemmlowp fixedpoint/fixedpoint.h.

    >>> doubling_high_multiply(-1, 1 << 30)      # -0.5: a tie, up
    0
    """
    return shift_half_up(a * multiplier, 31)


def scale_double_rounding(accumulator: Integer, multiplier: Integer, shift: Integer) -> Integer:
    """Return the accumulator times a Q31 multiplier, rounded twice, equation (11).

        M = multiplier / 2**shift
        q = shift_half_away( doubling_high_multiply(accumulator * 2**max(31 - shift, 0), multiplier),
                             max(shift - 31, 0) )

    Args:
        accumulator: int32; accumulator * 2**max(31 - shift, 0) is an int32 too (proved when lowering).
        multiplier: in [2**30, 2**31), or 0.
        shift: in [1, 62]; TFLite's exponent is 31 - shift.

    Source: MultiplyByQuantizedMultiplier (double rounding), tensorflow/lite/kernels/internal/common.h.

    >>> scale_double_rounding(5, 1 << 30, 31)      # 2.5: up
    3
    """
    exponent = 31 - shift
    left = exponent * (exponent > 0)
    right = left - exponent
    return shift_half_away(doubling_high_multiply(accumulator << left, multiplier), right)


def scale_single_rounding(accumulator: Integer, multiplier: Integer, shift: Integer) -> Integer:
    """Return the accumulator times an integer multiplier, rounded once, equation (12).

        q = shift_half_up(accumulator * multiplier, shift)

    Args:
        accumulator: int32; or wider, if |accumulator| * multiplier < 2**62.
        multiplier: in [0, 2**31), of as many bits as the target has.
        shift: in [1, 62].

    Source: MultiplyByQuantizedMultiplier (TFLITE_SINGLE_ROUNDING), tensorflow/lite/kernels/internal/common.h.

    >>> scale_single_rounding(-5, 1 << 30, 31)      # -2.5: up
    -2
    """
    return shift_half_up(accumulator * multiplier, shift)


def scale_power_half_up(accumulator: Integer, power: Integer, shift: Integer) -> Integer:
    """Return the accumulator times a power of two, ties toward +infinity, equation (16) with (2).

        q = round(accumulator * power / 2**shift)

    Args:
        accumulator: any; |accumulator| * power < 2**62.
        power: 2**left, a shift to the left that loses nothing.
        shift: in [0, 62], to the right.

    Source: DPU_ROUND, Xilinx/Vitis-AI vai_q_pytorch/include/cpu/nndct_fix_kernels_cpu.h (method 2).

    >>> [scale_power_half_up(x, 1, 1) for x in (-5, 5)]
    [-2, 3]
    """
    return shift_half_up(accumulator * power, shift)


def scale_power_half_away(accumulator: Integer, power: Integer, shift: Integer) -> Integer:
    """Return the accumulator times a power of two, ties away from zero, equation (16) with (3).

    Arguments are those of `scale_power_half_up`.

    Source: Ristretto rounds by C's `round`, pmgysel/caffe src/caffe/ristretto/layers/base_ristretto_layer.cpp.

    >>> [scale_power_half_away(x, 1, 1) for x in (-5, 5)]
    [-3, 3]
    """
    return shift_half_away(accumulator * power, shift)


def scale_power_half_even(accumulator: Integer, power: Integer, shift: Integer) -> Integer:
    """Return the accumulator times a power of two, ties to even, equation (16) with (4).

    Arguments are those of `scale_power_half_up`.

    Source: esp-ppq quantizes for the ESP32-P4 with ROUND_HALF_EVEN, esp_ppq/quantization/quantizer/EspdlQuantizer.py.

    >>> [scale_power_half_even(x, 1, 1) for x in (-5, 5)]
    [-2, 2]
    """
    return shift_half_even(accumulator * power, shift)


def divide_half_up(numerator: Integer, denominator: Integer) -> Integer:
    """Return a quotient rounded to nearest, ties toward +infinity, equation (14).

        q = floor((2 * numerator + denominator) / (2 * denominator))

    Args:
        numerator: any.
        denominator: positive.

    >>> [divide_half_up(x, 2) for x in (-5, -3, 3, 5)]
    [-2, -1, 2, 3]
    """
    return (2 * numerator + denominator) // (2 * denominator)


# The rounding shift of each rule: what `Rounding` means for a power-of-two division.
ROUNDING_SHIFTS = {
    Rounding.FLOOR: shift_floor,
    Rounding.HALF_UP: shift_half_up,
    Rounding.HALF_AWAY: shift_half_away,
    Rounding.HALF_EVEN: shift_half_even,
}
