"""The oracle: one evident NumPy function per integer operator, in int64.

Tensors are NCHW (or any rank where the operator does not care). Every function takes its tensors, then its constants and
attributes by name, as `signature.OPERATORS` lists them, and returns codes of the output's element type. `x` is `codes`
minus zero point throughout, so that padding contributes 0.

Scales are integers: a real factor M is `multiplier / 2**shift`, and the rule that applies it is the kernel key's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.kernels import numerics, numerics_sums
from intlower.kernels.reference_extended import EXTENDED_REFERENCES
from intlower.kernels.reference_fixed import mean_pool, softmax_fixed
from intlower.kernels.reference_general import GENERAL_REFERENCES
from intlower.kernels.reference_half import HALF_REFERENCES
from intlower.kernels.reference_log import LOG_REFERENCES
from intlower.kernels.reference_movement import (
    concat,
    max_pool,
    pad,
    reshape,
    slice_,
    softmax,
    stored,
    windows,
)
from intlower.kernels.reference_saturating import saturating_sums
from intlower.kernels.scale_rules import SCALE_RULES
from intlower.kernels.signature import KernelKey, Requantize

Codes = NDArray[Any]
Accumulators = NDArray[np.int64]

# The rule of each sum: (a, b, multipliers, shifts, left shift) -> integer.
SUM_RULES: dict[Requantize, Callable[[Any, Any, Any, Any, int], Any]] = {
    Requantize.F32EVEN: lambda a, b, m, s, _: numerics_sums.sum_float32(
        a, m[0], s[0], b, m[1], s[1]
    ),
    Requantize.F32BIAS: lambda a, b, m, s, _: numerics_sums.sum_float32(
        a, m[0], s[0], b, m[1], s[1]
    ),
    Requantize.MUL31DOUBLE: lambda a, b, m, s, left: numerics_sums.sum_double_rounding(
        a, m[0], s[0], b, m[1], s[1], m[2], s[2], left
    ),
    Requantize.MUL31SINGLE: lambda a, b, m, s, _: numerics_sums.sum_single_rounding(
        a, m[0], s[0], b, m[1], s[1], s[2]
    ),
    Requantize.POWERUP: lambda a, b, m, s, _: numerics_sums.sum_power_half_up(
        a, m[0], b, m[1], s[0]
    ),
    Requantize.POWERAWAY: lambda a, b, m, s, _: numerics_sums.sum_power_half_away(
        a, m[0], b, m[1], s[0]
    ),
    Requantize.POWEREVEN: lambda a, b, m, s, _: numerics_sums.sum_power_half_even(
        a, m[0], b, m[1], s[0]
    ),
}


def reference_for(key: KernelKey) -> Callable[..., Codes]:
    """Return the oracle of a kernel key (its variant is of no matter).

    The result takes the tensors by position, the constants and attributes by name.
    """
    operator = _REFERENCES[key.operator]

    def run(*tensors: Codes, **arguments: Any) -> Codes:
        return operator(key, *tensors, **arguments)

    return run


def conv2d(
    key: KernelKey,
    codes: Codes,
    *,
    weights: Codes,
    bias: Codes,
    multiplier: Codes,
    shift: Codes,
    minimum: Codes,
    maximum: Codes,
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    groups: int,
    input_zero_point: int,
    weight_zero_point: int,
    output_zero_point: int,
) -> Codes:
    """Return a convolution with its requantization.

        acc[n,o,i,j] = bias[o] + sum_{c,u,v} x[n,c,i*s+u*d-p,...] * (weights[o,c,u,v] - weight_zero_point)
        y = clamp(scale(acc, multiplier[o], shift[o]) + output_zero_point, minimum[o], maximum[o])

    Args:
        key: names the element types and the scaling rule.
        codes: [N, C, H, W].
        weights: [O, C/groups, kh, kw].
        bias: int32 [O], in units of input scale times weight scale; int64 where sums need 64 bits.
        multiplier: int32 [O].
        shift: int32 [O], in [1, 62].
        minimum: int32 [O], least output code: the grid's, or that of the activation's lower bound.
        maximum: int32 [O], greatest output code.
        strides: (vertical, horizontal).
        pads: (top, left, bottom, right), of real zeros.
        dilations: (vertical, horizontal).
        groups: of channels.
        input_zero_point: code of real 0 in the input.
        weight_zero_point: code of real 0 in the weights.
        output_zero_point: code of real 0 in the output.
    """
    x = _padded(codes, input_zero_point, pads)
    w = weights.astype(np.int64) - weight_zero_point
    outputs, depth, kernel_height, kernel_width = w.shape
    height = (x.shape[2] - dilations[0] * (kernel_height - 1) - 1) // strides[0] + 1
    width = (x.shape[3] - dilations[1] * (kernel_width - 1) - 1) // strides[1] + 1
    grouped = x.reshape(x.shape[0], groups, depth, *x.shape[2:])
    grouped_weights = w.reshape(groups, outputs // groups, depth, kernel_height, kernel_width)
    accumulator = np.zeros((x.shape[0], groups, outputs // groups, height, width), np.int64)
    for u in range(kernel_height):
        for v in range(kernel_width):
            rows = slice(
                u * dilations[0], u * dilations[0] + (height - 1) * strides[0] + 1, strides[0]
            )
            columns = slice(
                v * dilations[1], v * dilations[1] + (width - 1) * strides[1] + 1, strides[1]
            )
            accumulator += exact_matmul(
                grouped_weights[None, :, :, :, u, v],
                grouped[:, :, :, rows, columns].reshape(*grouped.shape[:3], -1),
            ).reshape(accumulator.shape)
    return _requantized(
        key,
        accumulator.reshape(x.shape[0], outputs, height, width),
        (1, outputs, 1, 1),
        bias=bias,
        multiplier=multiplier,
        shift=shift,
        minimum=minimum,
        maximum=maximum,
        output_zero_point=output_zero_point,
    )


def gemm(
    key: KernelKey,
    codes: Codes,
    *,
    weights: Codes,
    bias: Codes,
    multiplier: Codes,
    shift: Codes,
    minimum: Codes,
    maximum: Codes,
    input_zero_point: int,
    weight_zero_point: int,
    output_zero_point: int,
) -> Codes:
    """Return a matrix product with its requantization: `conv2d` without a window.

    Args:
        key: names the element types and the scaling rule.
        codes: [N, I].
        weights: [O, I].
        bias: int32 [O]; multiplier, shift, minimum, maximum alike, as in `conv2d`.
        multiplier: see `conv2d`.
        shift: see `conv2d`.
        minimum: see `conv2d`.
        maximum: see `conv2d`.
        input_zero_point: code of real 0 in the input.
        weight_zero_point: code of real 0 in the weights.
        output_zero_point: code of real 0 in the output.
    """
    x = codes.astype(np.int64) - input_zero_point
    w = weights.astype(np.int64) - weight_zero_point
    return _requantized(
        key,
        exact_matmul(x, w.T),
        (1, w.shape[0]),
        bias=bias,
        multiplier=multiplier,
        shift=shift,
        minimum=minimum,
        maximum=maximum,
        output_zero_point=output_zero_point,
    )


def add(
    key: KernelKey,
    a: Codes,
    b: Codes,
    *,
    multiplier: tuple[int, ...],
    shift: tuple[int, ...],
    left_shift: int,
    input_zero_points: tuple[int, int],
    output_zero_point: int,
    minimum: int,
    maximum: int,
) -> Codes:
    """Return the sum of two tensors with scales of their own, equation (9), (13), (17) or (18).

    Args:
        key: names the element type and the rule.
        a: any shape; b the same.
        b: see a.
        multiplier: of a and b, and of the sum for MUL31DOUBLE; powers of two for the POWER rules.
        shift: alike; of a, b and the sum for MUL31SINGLE, of the sum alone for the POWER rules.
        left_shift: fraction bits kept until the last rounding, MUL31DOUBLE; else 0.
        input_zero_points: codes of real 0 in a and in b.
        output_zero_point: code of real 0 in the output.
        minimum: least output code.
        maximum: greatest output code.
    """
    x = a.astype(np.int64) - input_zero_points[0]
    y = b.astype(np.int64) - input_zero_points[1]
    assert key.requantize is not None  # the key proves it
    total = SUM_RULES[key.requantize](x, y, multiplier, shift, left_shift)
    return stored(key.output, total + output_zero_point, minimum, maximum)


def average_pool(
    key: KernelKey,
    codes: Codes,
    *,
    multiplier: Codes,
    shift: Codes,
    kernel_shape: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    input_zero_point: int,
    output_zero_point: int,
    minimum: int,
    maximum: int,
) -> Codes:
    """Return means over windows: the exact sum, scaled once; the divisor is part of the scale.

    Args:
        key: names the element type and the scaling rule.
        codes: [N, C, H, W].
        multiplier: int32 [H', W'] where windows count different numbers of elements, else [1, 1].
        shift: alike.
        kernel_shape: (height, width) of the window.
        strides: (vertical, horizontal).
        pads: (top, left, bottom, right), of real zeros.
        input_zero_point: code of real 0 in the input.
        output_zero_point: code of real 0 in the output.
        minimum: least output code.
        maximum: greatest output code.
    """
    x = _padded(codes, input_zero_point, pads)
    accumulator = windows(x, kernel_shape, strides, (1, 1)).sum(axis=(-2, -1))
    assert key.requantize is not None  # the key proves it
    scaled = SCALE_RULES[key.requantize](
        accumulator, multiplier.astype(np.int64), shift.astype(np.int64)
    )
    return stored(key.output, scaled + output_zero_point, minimum, maximum)


def requantize(
    key: KernelKey,
    codes: Codes,
    *,
    multiplier: int,
    shift: int,
    input_zero_point: int,
    output_zero_point: int,
    minimum: int,
    maximum: int,
) -> Codes:
    """Return a tensor's codes on another grid, clamped.

    Args:
        key: names the element types and the scaling rule.
        codes: any shape.
        multiplier: of input scale over output scale.
        shift: alike.
        input_zero_point: code of real 0 in the input.
        output_zero_point: code of real 0 in the output.
        minimum: least output code.
        maximum: greatest output code.
    """
    assert key.requantize is not None  # the key proves it
    x = codes.astype(np.int64) - input_zero_point
    scaled = SCALE_RULES[key.requantize](x, multiplier, shift)
    return stored(key.output, scaled + output_zero_point, minimum, maximum)


def exact_matmul(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return an integer matrix product, exact.

    Float64 holds every integer below 2**53, so where the product's bound allows it, the float product is the same
    integers, much faster than NumPy's integer one.
    """
    if a.size == 0 or b.size == 0:
        return a @ b
    bound = int(np.abs(a).max()) * int(np.abs(b).max()) * a.shape[-1]
    if bound < 1 << 53:
        return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)
    return a @ b


def _padded(codes: Codes, zero_point: int, pads: tuple[int, int, int, int]) -> Accumulators:
    top, left, bottom, right = pads
    x = codes.astype(np.int64) - zero_point
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))


def _requantized(
    key: KernelKey,
    accumulator: Accumulators,
    shape: tuple[int, ...],
    *,
    bias: Codes,
    multiplier: Codes,
    shift: Codes,
    minimum: Codes,
    maximum: Codes,
    output_zero_point: int,
) -> Codes:
    def per_channel(array: Codes) -> NDArray[np.int64]:
        return array.astype(np.int64).reshape(shape)

    assert key.requantize is not None  # the key proves it
    if key.requantize is Requantize.F32BIAS:
        scaled = numerics.scale_float32_biased(
            accumulator, per_channel(bias), per_channel(multiplier), per_channel(shift)
        )
    else:
        scaled = SCALE_RULES[key.requantize](
            accumulator + per_channel(bias), per_channel(multiplier), per_channel(shift)
        )
    return stored(
        key.output, scaled + output_zero_point, per_channel(minimum), per_channel(maximum)
    )


def saturating_product(key: KernelKey, codes: Codes, *, bias: Codes, **arguments: Any) -> Codes:
    """Return `conv2d` of [N, C, H, W], or `gemm` of [N, I], in an accumulator that saturates.

    Args:
        key: names the element types and the scaling rule.
        codes: as in `conv2d` or `gemm`; other arguments alike, with those of `saturating_sums`.
        bias: int32 [O], within the accumulator.
        arguments: see codes.
    """
    scales = {name: arguments.pop(name) for name in _SCALES}
    sums = saturating_sums(codes, bias=bias, **arguments)
    shape = (1, sums.shape[1], *(1,) * (codes.ndim - 2))
    return _requantized(key, sums, shape, bias=np.zeros_like(bias), **scales)


_SCALES = ("multiplier", "shift", "minimum", "maximum", "output_zero_point")


_REFERENCES: dict[str, Callable[..., Codes]] = {
    "conv2d": conv2d,
    "saturating_conv2d": saturating_product,
    "saturating_gemm": saturating_product,
    "gemm": gemm,
    "add": add,
    "average_pool": average_pool,
    "requantize": requantize,
    "max_pool": max_pool,
    "concat": concat,
    "pad": pad,
    "slice": slice_,
    "reshape": reshape,
    "softmax": softmax,
    "mean_pool": mean_pool,
    "softmax_fixed": softmax_fixed,
    **EXTENDED_REFERENCES,
    **GENERAL_REFERENCES,
    **LOG_REFERENCES,
    **HALF_REFERENCES,
}
