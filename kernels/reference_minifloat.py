"""The oracle of minifloats: codes become float32, which is exact; sums in binary32 in one order; one rounding at the end.

Tensors are NCHW. Limits are codes of the output: the order of codes is that of numbers. Codes are int8 or int16, as
`numerics_minifloat.py` has them, and rounding is that of equation (M1), written here on fractions and exponents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.kernels.minifloat_rule import MinifloatRule
from intlower.kernels.reference_sums import (
    Singles,
    along_channels,
    convolution_sums,
    window_sums,
)
from intlower.kernels.signature import KernelKey

Codes = NDArray[Any]


def minifloat_conv2d(
    key: KernelKey,
    codes: Codes,
    *,
    weights: Codes,
    bias: NDArray[np.int32],
    shift: NDArray[np.int32],
    minimum: NDArray[np.int32],
    maximum: NDArray[np.int32],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    groups: int,
    input_exponent_bias: int,
    weight_exponent_bias: int,
    output_exponent_bias: int,
) -> Codes:
    """Return a convolution.

        y = clamp(code(sum_{c,u,v} value(x) * value(w) + bias / 2**shift), minimum, maximum)

    in binary32 until that one rounding; a product of two minifloats is exact there.

    Args:
        key: with the layout of codes.
        codes: [N, C, H, W].
        weights: [O, C/groups, kh, kw], codes as well.
        bias: int32 [O], up to 2**24, so that it is a binary32.
        shift: int32 [O], in [0, 62].
        minimum: int32 [O], codes of the output, at most `maximum`.
        maximum: int32 [O].
        strides: (vertical, horizontal).
        pads: (top, left, bottom, right), of 0.
        dilations: (vertical, horizontal).
        groups: of channels.
        input_exponent_bias: of the input's codes.
        weight_exponent_bias: of the weights'.
        output_exponent_bias: of the output's.
    """
    rule = _rule(key)
    total = convolution_sums(
        values(codes, rule, input_exponent_bias),
        values(weights, rule, weight_exponent_bias),
        strides=strides,
        pads=pads,
        dilations=dilations,
        groups=groups,
    )
    added = np.ldexp(bias.astype(np.float64), -shift.astype(np.int64)).astype(np.float32)
    biased = total + along_channels(added, 4)
    return _finished(key, biased, output_exponent_bias, minimum, maximum)


def minifloat_gemm(key: KernelKey, codes: Codes, *, weights: Codes, **arguments: Any) -> Codes:
    """Return a matrix product: `minifloat_conv2d` on an image of one pixel.

    Args:
        key: with the layout of codes.
        codes: [N, I].
        weights: [O, I].
        arguments: the others of `minifloat_conv2d`, but for its window.
    """
    product = minifloat_conv2d(
        key,
        codes[:, :, None, None],
        weights=weights[:, :, None, None],
        strides=(1, 1),
        pads=(0, 0, 0, 0),
        dilations=(1, 1),
        groups=1,
        **arguments,
    )
    return product.reshape(product.shape[:2])


def minifloat_add(
    key: KernelKey,
    a: Codes,
    b: Codes,
    *,
    minimum: NDArray[np.int32],
    maximum: NDArray[np.int32],
    input_exponent_biases: tuple[int, int],
    output_exponent_bias: int,
) -> Codes:
    """Return clamp(code(value(a) + value(b)), minimum, maximum), the sum in binary32.

    Args:
        key: with the layout of codes.
        a: any shape; b the same.
        b: see a.
        minimum: int32, one for each channel (axis 1).
        maximum: alike.
        input_exponent_biases: of a and of b.
        output_exponent_bias: of the sum.
    """
    first, second = (
        values(x, _rule(key), bias)
        for x, bias in zip((a, b), input_exponent_biases, strict=True)
    )
    return _finished(key, first + second, output_exponent_bias, minimum, maximum)


def minifloat_average_pool(
    key: KernelKey,
    codes: Codes,
    *,
    count: NDArray[np.int32],
    minimum: NDArray[np.int32],
    maximum: NDArray[np.int32],
    kernel_shape: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    input_exponent_bias: int,
    output_exponent_bias: int,
) -> Codes:
    """Return means over windows: the sum by rows, then one IEEE division, then one rounding.

    Args:
        key: with the layout of codes.
        codes: [N, C, H, W].
        count: int32 [H', W'] or [1, 1], by what each sum is divided, below 2**24.
        minimum: int32 [C].
        maximum: int32 [C].
        kernel_shape: (height, width) of the window.
        strides: (vertical, horizontal).
        pads: (top, left, bottom, right), of 0.
        input_exponent_bias: of the input's codes.
        output_exponent_bias: of the means'.
    """
    total = window_sums(
        values(codes, _rule(key), input_exponent_bias),
        kernel_shape=kernel_shape,
        strides=strides,
        pads=pads,
    )
    mean = np.divide(total, count, dtype=np.float32)
    return _finished(key, mean, output_exponent_bias, minimum, maximum)


def minifloat_clip(
    key: KernelKey,
    codes: Codes,
    *,
    minimum: NDArray[np.int32],
    maximum: NDArray[np.int32],
    input_exponent_bias: int,
    output_exponent_bias: int,
) -> Codes:
    """Return numbers with another exponent bias, rounded and limited by channel (axis 1)."""
    numbers = values(codes, _rule(key), input_exponent_bias)
    return _finished(key, numbers, output_exponent_bias, minimum, maximum)


def values(codes: Codes, rule: MinifloatRule, bias: int) -> Singles:
    """Return the numbers of codes, equation (M2): (1 + m / 2**M) * 2**(E - bias)."""
    q = codes.astype(np.int64)
    exponent = (np.abs(q) >> rule.mantissa_bits) - bias
    mantissa = (np.abs(q) & ((1 << rule.mantissa_bits) - 1)) + (1 << rule.mantissa_bits)
    magnitude = np.ldexp(mantissa.astype(np.float64), exponent - rule.mantissa_bits)
    return np.asarray(np.sign(q) * magnitude, np.float32)


def codes_of(numbers: Singles, rule: MinifloatRule, bias: int) -> NDArray[np.int64]:
    """Return the codes nearest to numbers, equation (M1), by way of their fractions and exponents."""
    fraction, exponent = np.frexp(np.abs(numbers.astype(np.float64)))
    field = exponent.astype(np.int64) - 1 + bias
    scaled = np.ldexp(fraction, rule.mantissa_bits + 1)  # in [2**M, 2**(M + 1))
    rounded = (np.rint(scaled) if rule.even else np.floor(scaled + 0.5)).astype(np.int64)
    code = ((field - 1) << rule.mantissa_bits) + rounded
    limited = np.where((field < 0) | (numbers == 0), 0, np.minimum(code, rule.greatest))
    return np.where(numbers < 0, -limited, limited)


def _rule(key: KernelKey) -> MinifloatRule:
    assert key.minifloat is not None  # the key proves it
    return key.minifloat


def _finished(
    key: KernelKey,
    numbers: Singles,
    bias: int,
    minimum: NDArray[np.int32],
    maximum: NDArray[np.int32],
) -> Codes:
    codes = codes_of(numbers, _rule(key), bias)
    low, high = (along_channels(limit, numbers.ndim) for limit in (minimum, maximum))
    limited: Codes = np.clip(codes, low, high).astype(key.output.dtype_name)
    return limited


MINIFLOAT_REFERENCES: dict[str, Callable[..., Codes]] = {
    "minifloat_conv2d": minifloat_conv2d,
    "minifloat_gemm": minifloat_gemm,
    "minifloat_add": minifloat_add,
    "minifloat_average_pool": minifloat_average_pool,
    "minifloat_clip": minifloat_clip,
}
