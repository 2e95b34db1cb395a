"""The oracle of half precision: one evident function per operator, on NumPy's float16 and float32.

Sums have one order, that of `reference_sums.py`. Every rounding is to nearest, ties to even, as NumPy's (IEEE 754)
operations round.

Tensors are NCHW; float16 tensors and constants of a program whose rule flushes hold no subnormals. Limits are compared in
this order and nothing else, so that -0 and NaN pass: y < minimum -> minimum; y > maximum -> maximum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.kernels import numerics_half
from intlower.kernels.half_rule import HalfRule, Subnormals
from intlower.kernels.reference_movement import windows
from intlower.kernels.reference_sums import (
    Accumulate,
    Singles,
    along_channels,
    convolution_sums,
    window_sums,
)
from intlower.kernels.signature import KernelKey

Codes = NDArray[Any]
Halves = NDArray[np.float16]

_LEAST_NORMAL = np.float32(2.0**-14)


def round_half(values: Singles, rule: HalfRule) -> Halves:
    """Return float32 numbers in binary16, as equations (H1) and (H2) say, by NumPy's conversion."""
    with np.errstate(over="ignore", invalid="ignore"):
        halves = values.astype(np.float16)
        if rule.saturate:
            halves = np.where(np.isinf(halves), np.copysign(np.float16(65504), halves), halves)
        if rule.subnormals is not Subnormals.KEPT:
            judged = halves if rule.subnormals is Subnormals.FLUSHED else values
            zeros = np.copysign(np.float16(0), halves)
            halves = np.where(np.abs(judged) < _LEAST_NORMAL, zeros, halves)
        nan = np.uint16(numerics_half.HALF_NAN).view(np.float16)
        return np.where(np.isnan(halves), nan, halves).astype(np.float16)


def half_conv2d(
    key: KernelKey,
    codes: Halves,
    *,
    weights: Halves,
    bias: Halves,
    minimum: Halves,
    maximum: Halves,
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    groups: int,
) -> Halves:
    """Return a convolution.

        y = half(clamp(sum_{c,u,v} x * w + bias, minimum, maximum))

    in binary32 until that one rounding; a product of two halves is exact there. With binary16 sums each step rounds:
    sum <- half(sum + half(x * w)). (Both roundings of a sum of halves, to binary32 and then to binary16, are as one:
    Figueroa, When is double rounding innocuous?, 1995, since 24 >= 2 * 11 + 2.)

    Args:
        key: with the rule.
        codes: float16 [N, C, H, W].
        weights: float16 [O, C/groups, kh, kw].
        bias: float16 [O].
        minimum: float16 [O], of the activation; -infinity where there is none. No NaN, at most `maximum`.
        maximum: float16 [O].
        strides: (vertical, horizontal).
        pads: (top, left, bottom, right), of +0.
        dilations: (vertical, horizontal).
        groups: of channels.
    """
    rule = _rule(key)
    total = convolution_sums(
        codes.astype(np.float32),
        weights.astype(np.float32),
        strides=strides,
        pads=pads,
        dilations=dilations,
        groups=groups,
        accumulate=_accumulation(rule),
    )
    with np.errstate(over="ignore", invalid="ignore"):
        biased = total + along_channels(bias.astype(np.float32), 4)
    return _finished(biased, minimum, maximum, rule)


def half_gemm(
    key: KernelKey,
    codes: Halves,
    *,
    weights: Halves,
    bias: Halves,
    minimum: Halves,
    maximum: Halves,
) -> Halves:
    """Return a matrix product: `half_conv2d` on an image of one pixel.

    Args:
        key: with the rule.
        codes: float16 [N, I].
        weights: float16 [O, I].
        bias: see `half_conv2d`.
        minimum: see `half_conv2d`.
        maximum: see `half_conv2d`.
    """
    product = half_conv2d(
        key,
        codes[:, :, None, None],
        weights=weights[:, :, None, None],
        bias=bias,
        minimum=minimum,
        maximum=maximum,
        strides=(1, 1),
        pads=(0, 0, 0, 0),
        dilations=(1, 1),
        groups=1,
    )
    return product.reshape(product.shape[:2])


def half_add(
    key: KernelKey, a: Halves, b: Halves, *, minimum: Halves, maximum: Halves
) -> Halves:
    """Return half(clamp(a + b, minimum, maximum)).

    Args:
        key: with the rule.
        a: float16, any shape; b the same.
        b: see a.
        minimum: float16, one for each channel (axis 1).
        maximum: alike.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        total = a.astype(np.float32) + b.astype(np.float32)
    return _finished(total, minimum, maximum, _rule(key))


def half_average_pool(
    key: KernelKey,
    codes: Halves,
    *,
    count: NDArray[np.int32],
    minimum: Halves,
    maximum: Halves,
    kernel_shape: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
) -> Halves:
    """Return means over windows: the sum by rows, then one IEEE division, clamped and rounded as `half_conv2d`'s sums.

    Args:
        key: with the rule.
        codes: float16 [N, C, H, W].
        count: int32 [H', W'] or [1, 1], by what each sum is divided, below 2**24.
        minimum: float16 [C].
        maximum: float16 [C].
        kernel_shape: (height, width) of the window.
        strides: (vertical, horizontal).
        pads: (top, left, bottom, right), of +0.
    """
    rule = _rule(key)
    total = window_sums(
        codes.astype(np.float32),
        kernel_shape=kernel_shape,
        strides=strides,
        pads=pads,
        accumulate=_accumulation(rule),
    )
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.divide(total, count, dtype=np.float32)
    return _finished(mean, minimum, maximum, rule)


def half_max_pool(
    key: KernelKey,
    codes: Halves,
    *,
    kernel_shape: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
) -> Halves:
    """Return maxima over windows in the order (H3), NaN the greatest; padding never wins.

    Args:
        key: names the element type.
        codes: float16 [N, C, H, W].
        kernel_shape: (height, width) of the window.
        strides: (vertical, horizontal).
        pads: (top, left, bottom, right), each smaller than the window's extent.
        dilations: (vertical, horizontal).
    """
    top, left, bottom, right = pads
    keys = np.pad(
        numerics_half.total_order(codes),
        ((0, 0), (0, 0), (top, bottom), (left, right)),
        constant_values=-(1 << 16),
    )
    greatest = windows(keys, kernel_shape, strides, dilations).max(axis=(-2, -1))
    return np.ascontiguousarray(numerics_half.from_total_order(greatest))


def half_clip(key: KernelKey, codes: Halves, *, minimum: Halves, maximum: Halves) -> Halves:
    """Return codes limited to the bounds of each channel (axis 1)."""
    return _limited(codes, minimum, maximum)


def half_pad(key: KernelKey, codes: Halves, *, value: Halves, pads: tuple[int, ...]) -> Halves:
    """Return a tensor with a border of one number, float16 [1]; `pads` is (begin..., end...) of every axis."""
    rank = codes.ndim
    return np.pad(
        codes, list(zip(pads[:rank], pads[rank:], strict=True)), constant_values=value[0]
    )


def half_dequantize(
    key: KernelKey,
    codes: NDArray[np.int32],
    *,
    multiplier: NDArray[np.int32],
    shift: NDArray[np.int32],
    minimum: Halves,
    maximum: Halves,
) -> Halves:
    """Return integers times a single-precision scale: half(clamp(float32(q) * float32(multiplier / 2**shift))).

    Args:
        key: with the rule.
        codes: int32, any shape of rank 2 or more.
        multiplier: int32, below 2**24, one for each channel (axis 1).
        shift: int32, in [1, 62], alike.
        minimum: float16, alike.
        maximum: float16, alike.
    """
    scale = np.ldexp(multiplier.astype(np.float64), -shift.astype(np.int64)).astype(np.float32)
    product = codes.astype(np.float32) * along_channels(scale, codes.ndim)
    return _finished(product, minimum, maximum, _rule(key))


def half_quantize(
    key: KernelKey,
    codes: Halves,
    *,
    multiplier: int,
    shift: int,
    output_zero_point: int,
    minimum: int,
    maximum: int,
) -> Codes:
    """Return clamp(rint(float32(x) * float32(multiplier / 2**shift)) + zero point); NaN gives the zero point.

    Args:
        key: names the output type.
        codes: float16, any shape.
        multiplier: below 2**24.
        shift: in [1, 62].
        output_zero_point: the code of real 0.
        minimum: least code.
        maximum: greatest code.
    """
    scale = np.float32(np.ldexp(float(multiplier), -shift))
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = np.rint(codes.astype(np.float32) * scale)
    # Past 2**17 a code saturates, whatever its zero point.
    limited = np.clip(np.nan_to_num(rounded, nan=0.0), -(2.0**17), 2.0**17)
    shifted = limited.astype(np.int64) + output_zero_point
    limited_codes: Codes = np.clip(shifted, minimum, maximum)
    return limited_codes.astype(key.output.dtype_name)


def _rule(key: KernelKey) -> HalfRule:
    assert key.half is not None  # the key proves it
    return key.half


def _accumulation(rule: HalfRule) -> Accumulate:
    """Return how a term is added: with binary16 sums, the term and the sum are rounded."""
    if not rule.half_sums:
        return np.add

    def rounded_sum(total: Singles, term: Singles) -> Singles:
        rounded = round_half(term, rule).astype(np.float32)
        return round_half(total + rounded, rule).astype(np.float32)

    return rounded_sum


def _finished(values: Singles, minimum: Halves, maximum: Halves, rule: HalfRule) -> Halves:
    limited = _limited(values, minimum.astype(np.float32), maximum.astype(np.float32))
    return round_half(limited, rule)


def _limited(values: Codes, minimum: Codes, maximum: Codes) -> Codes:
    low, high = (along_channels(bound, values.ndim) for bound in (minimum, maximum))
    raised = np.where(values < low, low, values)
    limited: Codes = np.where(raised > high, high, raised)
    return limited


HALF_REFERENCES: dict[str, Callable[..., Codes]] = {
    "half_conv2d": half_conv2d,
    "half_gemm": half_gemm,
    "half_add": half_add,
    "half_average_pool": half_average_pool,
    "half_max_pool": half_max_pool,
    "half_clip": half_clip,
    "half_pad": half_pad,
    "half_dequantize": half_dequantize,
    "half_quantize": half_quantize,
}
