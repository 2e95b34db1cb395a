"""The oracle of logarithmic arithmetic. `reference.py` says how to read it, `numerics_log.py` has the rules.

Codes are logarithmic, linear numbers int32 with 12 fraction bits. Bits of a code above its format's are ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.kernels import numerics_log
from intlower.kernels.numerics_log import LogFormat, format_of
from intlower.kernels.reference_movement import stored, windows
from intlower.kernels.signature import KernelKey

Codes = NDArray[Any]
Accumulators = NDArray[np.int64]

# A bias is bias_high * 2**30 + bias_low: its unit is that of the products, in which it may exceed 32 bits.
BIAS_DIGIT_BITS = 30


def log_conv2d(
    key: KernelKey,
    codes: Codes,
    *,
    weights: Codes,
    bias_low: Codes,
    bias_high: Codes,
    mantissas: Codes,
    minimum: Codes,
    maximum: Codes,
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    groups: int,
    product_shift: int,
    mantissa: int,
    shift: int,
) -> Codes:
    """Return a convolution of logarithmic codes, as linear numbers.

        acc[n,o,i,j] = bias[o] + sum_{c,u,v} P(x[n,c,i*s+u*d-p,...], weights[o,c,u,v])      equation (L3)
        y = clamp(read_out(acc, mantissa, shift), minimum[o], maximum[o])                   equation (L4)

    Args:
        key: names the element types.
        codes: [N, C, H, W].
        weights: [O, C/groups, kh, kw], codes of the same format.
        bias_low: int32 [O], in [0, 2**30): the low digit of the bias, in units of the products.
        bias_high: int32 [O]: its high digit, to the base 2**30.
        mantissas: int32 [S], T of equation (L2).
        minimum: int32 [O], least output.
        maximum: int32 [O], greatest output.
        strides: (vertical, horizontal).
        pads: (top, left, bottom, right), of exact zeros.
        dilations: (vertical, horizontal).
        groups: of channels.
        product_shift: low bits of each product that are dropped.
        mantissa: of the read-out.
        shift: of the read-out.
    """
    layout = format_of(key.activation)
    top, left, bottom, right = pads
    padded = np.pad(
        codes,
        ((0, 0), (0, 0), (top, bottom), (left, right)),
        constant_values=layout.magnitudes,  # exact zero
    )
    outputs, depth, *kernel = weights.shape
    patches = windows(padded, (kernel[0], kernel[1]), strides, dilations)
    samples, _, height, width = patches.shape[:4]
    table = _product_table(mantissas, layout, product_shift)
    accumulator = np.zeros((samples, groups, outputs // groups, height, width), np.int64)
    grouped = patches.reshape(samples, groups, 1, depth, height, width, *kernel)
    filters = weights.reshape(1, groups, outputs // groups, depth, 1, 1, *kernel)
    for c in range(depth):
        for u in range(kernel[0]):
            for v in range(kernel[1]):
                a, w = grouped[:, :, :, c, ..., u, v], filters[:, :, :, c, ..., u, v]
                accumulator += products(a, w, table, layout)
    return _read_out(
        key,
        accumulator.reshape(samples, outputs, height, width),
        (outputs, 1, 1),
        bias_low,
        bias_high,
        mantissa,
        shift,
        minimum,
        maximum,
    )


def log_gemm(
    key: KernelKey,
    codes: Codes,
    *,
    weights: Codes,
    bias_low: Codes,
    bias_high: Codes,
    mantissas: Codes,
    minimum: Codes,
    maximum: Codes,
    product_shift: int,
    mantissa: int,
    shift: int,
) -> Codes:
    """Return a product of codes [N, I] with a matrix of codes [O, I], as linear numbers: `log_conv2d` without a window."""
    layout = format_of(key.activation)
    table = _product_table(mantissas, layout, product_shift)
    accumulator = np.zeros((len(codes), len(weights)), np.int64)
    for i in range(weights.shape[1]):
        accumulator += products(codes[:, i, None], weights[None, :, i], table, layout)
    return _read_out(
        key,
        accumulator,
        (len(weights),),
        bias_low,
        bias_high,
        mantissa,
        shift,
        minimum,
        maximum,
    )


def log_encode(
    key: KernelKey, codes: Codes, *, thresholds: Codes, negative_threshold: int
) -> Codes:
    """Return the logarithmic codes of linear numbers, equation (L6).

    Args:
        key: names the codes' type.
        codes: linear numbers, any shape.
        thresholds: int32 [K], ascending: the least magnitudes of codes 0 .. K - 1.
        negative_threshold: the least negative magnitude that is not zero.
    """
    layout = format_of(key.output)
    value = codes.astype(np.int64)
    magnitude = np.abs(value)
    k = np.searchsorted(thresholds[1:], magnitude, side="right")
    positive = np.where(magnitude >= thresholds[0], k, layout.magnitudes)
    negative = np.where(
        magnitude >= negative_threshold, layout.magnitudes + np.maximum(k, 1), layout.magnitudes
    )
    encoded: Codes = np.where(value < 0, negative, positive).astype(key.output.dtype_name)
    return encoded


def log_decode(key: KernelKey, codes: Codes, *, levels: Codes) -> Codes:
    """Return the linear number of each code: its entry in `levels`, int32 [2 K], equation (L7)."""
    decoded: Codes = levels[codes.astype(np.int64) & (format_of(key.activation).codes - 1)]
    return decoded


def linear_add(key: KernelKey, a: Codes, b: Codes, *, minimum: int, maximum: int) -> Codes:
    """Return the saturated sum of two tensors of linear numbers, equation (L8), clamped."""
    total = numerics_log.add_saturating(a.astype(np.int64), b.astype(np.int64))
    return stored(key.output, total, minimum, maximum)


def linear_clamp(key: KernelKey, codes: Codes, *, minimum: int, maximum: int) -> Codes:
    """Return linear numbers, clamped."""
    return stored(key.output, codes.astype(np.int64), minimum, maximum)


def linear_average_pool(
    key: KernelKey,
    codes: Codes,
    *,
    counts: Codes,
    kernel_shape: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    minimum: int,
    maximum: int,
) -> Codes:
    """Return means over windows of linear numbers [N, C, H, W], equation (L9), clamped.

    Args:
        key: names the element type.
        codes: [N, C, H, W].
        counts: int32 [1, 1] or [H', W']: what each window's sum is divided by.
        kernel_shape: (height, width) of the window.
        strides: (vertical, horizontal).
        pads: (top, left, bottom, right), of zeros.
        minimum: least output.
        maximum: greatest output.
    """
    top, left, bottom, right = pads
    padded = np.pad(codes.astype(np.int64), ((0, 0), (0, 0), (top, bottom), (left, right)))
    total = windows(padded, kernel_shape, strides, (1, 1)).sum(axis=(-2, -1))
    mean = numerics_log.divide_half_away(total, counts.astype(np.int64))
    return stored(key.output, mean, minimum, maximum)


def products(a: Codes, w: Codes, table: NDArray[np.int64], layout: LogFormat) -> Accumulators:
    """Return the signed products of codes, broadcasting: magnitudes add, signs multiply, a zero makes 0."""
    k = magnitude_of(a, layout) + magnitude_of(w, layout)
    signed: Accumulators = table[k] * (sign_of(a, layout) * sign_of(w, layout))
    return signed


def magnitude_of(codes: Codes, layout: LogFormat) -> NDArray[np.int64]:
    """Return k of codes."""
    return codes.astype(np.int64) & (layout.magnitudes - 1)


def sign_of(codes: Codes, layout: LogFormat) -> NDArray[np.int64]:
    """Return 1, -1, and 0 for exact zero."""
    masked = codes.astype(np.int64) & (layout.codes - 1)
    sign: NDArray[np.int64] = np.sign(
        np.where(masked < layout.magnitudes, 1, layout.magnitudes - masked)
    )
    return sign


def bias_of(low: Codes, high: Codes) -> NDArray[np.int64]:
    """Return biases from their digits."""
    return (high.astype(np.int64) << BIAS_DIGIT_BITS) + low


def product_table(mantissas: Codes, layout: LogFormat, product_shift: int) -> list[int]:
    """Return the magnitude of products for every sum of two magnitudes, equation (L3)."""
    table = tuple(int(t) for t in mantissas)
    return [
        numerics_log.product_magnitude(table, k, product_shift)
        for k in range(2 * layout.magnitudes - 1)
    ]


def _product_table(
    mantissas: Codes, layout: LogFormat, product_shift: int
) -> NDArray[np.int64]:
    return np.array(product_table(mantissas, layout, product_shift), np.int64)


def _read_out(
    key: KernelKey,
    accumulator: Accumulators,
    shape: tuple[int, ...],
    bias_low: Codes,
    bias_high: Codes,
    mantissa: int,
    shift: int,
    minimum: Codes,
    maximum: Codes,
) -> Codes:
    total = accumulator + bias_of(bias_low, bias_high).reshape(shape)
    rule = numerics_log.read_out_wide if shift > 16 else numerics_log.read_out_narrow
    linear = rule(total, mantissa, shift)
    low, high = (limit.astype(np.int64).reshape(shape) for limit in (minimum, maximum))
    return stored(key.output, linear, low, high)


LOG_REFERENCES: dict[str, Callable[..., Codes]] = {
    "log_conv2d": log_conv2d,
    "log_gemm": log_gemm,
    "log_encode": log_encode,
    "log_decode": log_decode,
    "linear_add": linear_add,
    "linear_average_pool": linear_average_pool,
    "linear_clamp": linear_clamp,
}
