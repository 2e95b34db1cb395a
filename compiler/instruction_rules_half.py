"""What each half-precision instruction requires of its shapes, types and numbers; see `instruction_rules.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.instruction_checker import LARGEST_TENSOR, Checker
from intlower.compiler.operators import AveragePool, Conv, MaxPool, Pad, Shape
from intlower.kernels.half_rule import HalfRule, Subnormals
from intlower.kernels.signature import ElementType

_LEAST_NORMAL = np.float16(2.0**-14)

# A scale is a float32: 24 bits of mantissa.
_LARGEST_MULTIPLIER = (1 << 24) - 1


def _halves(
    checker: Checker, key: str, shape: tuple[int, ...] | None, infinite: bool = False
) -> NDArray[Any]:
    """Return a float16 constant without NaN, and without what the rule flushes."""
    array = checker.constants[key]
    if array.dtype != np.float16 or (shape is not None and array.shape != shape):
        wanted = "" if shape is None else list(shape)
        raise checker.error(f"{key} is {array.dtype}{list(array.shape)}, not float16{wanted}")
    finite = np.isfinite(array) | (np.isinf(array) & infinite)
    if not array.size or not finite.all():
        raise checker.error(f"{key} has entries that are not numbers, or none")
    magnitude = np.abs(array)
    flushed = _rule(checker).subnormals is not Subnormals.KEPT
    if flushed and ((magnitude > 0) & (magnitude < _LEAST_NORMAL)).any():
        raise checker.error(f"{key} has subnormal numbers, which the rule flushes")
    return array


def _rule(checker: Checker) -> HalfRule:
    assert checker.kernel.half is not None  # the kernel key proves it
    return checker.kernel.half


def _bounds(checker: Checker, channels: int) -> None:
    low = _halves(checker, "minimum", (channels,), infinite=True)
    high = _halves(checker, "maximum", (channels,), infinite=True)
    if (low > high).any():
        raise checker.error("a clamp's minimum is above its maximum")


def _channels(shape: Shape) -> int:
    """Return the size of axis 1, by which bounds and scales differ."""
    return (shape[1] or 0) if len(shape) > 1 else 1


def _types(checker: Checker, activation: Sequence[ElementType], output: ElementType) -> None:
    kernel = checker.kernel
    if kernel.activation not in activation or kernel.output is not output:
        raise checker.error("there is no arithmetic from and to these types")
    if kernel.weight not in (None, ElementType.FLOAT16):
        raise checker.error("its weights are not float16")


def _float16(checker: Checker) -> None:
    _types(checker, (ElementType.FLOAT16,), ElementType.FLOAT16)


def _weighted(checker: Checker, outputs: int) -> None:
    _float16(checker)
    _halves(checker, "weights", None)
    _halves(checker, "bias", (outputs,))
    _bounds(checker, outputs)


def _half_conv2d(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    strides, dilations = (
        checker.numbers(key, 2, 1, LARGEST_TENSOR) for key in ("strides", "dilations")
    )
    pads = checker.numbers("pads", 4, 0, LARGEST_TENSOR)
    checker.padded(inputs[0], pads)
    weights = checker.constants["weights"]
    if weights.ndim != 4:
        raise checker.error(f"weights of rank {weights.ndim}, not 4")
    _weighted(checker, weights.shape[0])
    operator = Conv(
        strides=(strides[0], strides[1]),
        dilations=(dilations[0], dilations[1]),
        pads=(pads[0], pads[1], pads[2], pads[3]),
        groups=checker.number("groups", 1, LARGEST_TENSOR),
    )
    return operator.output_shape([inputs[0], weights.shape])


def _half_gemm(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    weights, x = checker.constants["weights"], inputs[0]
    if weights.ndim != 2 or len(x) != 2 or x[1] != weights.shape[1]:
        raise checker.error(f"weights {list(weights.shape)} do not fit an input of shape {x}")
    _weighted(checker, weights.shape[0])
    return (x[0], weights.shape[0])


def _half_add(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    _float16(checker)
    if inputs[0] != inputs[1]:
        raise checker.error(f"adds shapes {inputs[0]} and {inputs[1]}")
    _bounds(checker, _channels(inputs[0]))
    return inputs[0]


def _half_average_pool(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    _float16(checker)
    kernel, strides, pads = checker.window()
    checker.padded(inputs[0], pads)
    shape = AveragePool(kernel_shape=kernel, strides=strides, pads=pads).output_shape(inputs)
    uniform = checker.constants["count"].shape == (1, 1)
    positions = (1, 1) if uniform else (shape[2] or 0, shape[3] or 0)
    checker.array("count", "int32", positions, 1, _LARGEST_MULTIPLIER)
    _bounds(checker, _channels(inputs[0]))
    return shape


def _half_max_pool(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    _float16(checker)
    kernel, strides, pads = checker.window()
    checker.padded(inputs[0], pads)
    dilations = checker.numbers("dilations", 2, 1, LARGEST_TENSOR)
    operator = MaxPool(
        kernel_shape=kernel, strides=strides, pads=pads, dilations=(dilations[0], dilations[1])
    )
    return operator.output_shape(inputs)


def _half_clip(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    _float16(checker)
    _bounds(checker, _channels(inputs[0]))
    return inputs[0]


def _half_pad(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    _float16(checker)
    rank = len(inputs[0])
    pads = checker.numbers("pads", 2 * rank, 0, LARGEST_TENSOR)
    _halves(checker, "value", (1,), infinite=not _rule(checker).saturate)
    if pads[0] or pads[rank]:
        raise checker.error("pads the batch")
    return Pad(pads=pads).output_shape(inputs)


def _half_dequantize(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    _types(checker, (ElementType.INT32,), ElementType.FLOAT16)
    channels = _channels(inputs[0])
    checker.array("multiplier", "int32", (channels,), 0, _LARGEST_MULTIPLIER)
    checker.array("shift", "int32", (channels,), 1, 62)
    _bounds(checker, channels)
    return inputs[0]


def _half_quantize(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    output = checker.kernel.output
    if output in (ElementType.FLOAT16, ElementType.INT32):
        raise checker.error("it makes codes of 8 or 16 bits")
    _types(checker, (ElementType.FLOAT16,), output)
    checker.number("multiplier", 0, _LARGEST_MULTIPLIER)
    checker.number("shift", 1, 62)
    zero_point = checker.number("output_zero_point", *output.limits)
    low, high = checker.clamp_range()
    if not low <= zero_point <= high:
        raise checker.error(f"its zero point {zero_point} is outside its codes {low}..{high}")
    return inputs[0]


HALF_RULES: dict[str, Callable[[Checker, Sequence[Shape]], Shape]] = {
    "half_conv2d": _half_conv2d,
    "half_gemm": _half_gemm,
    "half_add": _half_add,
    "half_average_pool": _half_average_pool,
    "half_max_pool": _half_max_pool,
    "half_clip": _half_clip,
    "half_pad": _half_pad,
    "half_dequantize": _half_dequantize,
    "half_quantize": _half_quantize,
}
