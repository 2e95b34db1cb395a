"""What instructions on logarithmic codes and linear numbers require; see `instruction_rules.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from intlower.compiler.instruction_checker import LARGEST_TENSOR, Checker
from intlower.compiler.operators import AveragePool, Conv, Shape
from intlower.kernels.numerics_log import (
    ACCUMULATOR_BITS,
    FORMATS,
    GREATEST_SHIFT,
    LEAST_SHIFT,
    LINEAR_HIGH,
    LINEAR_LOW,
    MANTISSA_BITS,
    LogFormat,
)
from intlower.kernels.reference_log import BIAS_DIGIT_BITS, bias_of, product_table
from intlower.kernels.signature import ElementType

_LAYOUTS = {layout.element: layout for layout in FORMATS.values()}
# Mantissas of one octave: 2**14 <= T < 2**15.
_MANTISSA_RANGE = (1 << MANTISSA_BITS, (1 << (MANTISSA_BITS + 1)) - 1)


def _layout(checker: Checker, element: ElementType | None) -> LogFormat:
    if element not in _LAYOUTS:
        stored = "nothing" if element is None else element.dtype_name
        raise checker.error(f"no logarithmic codes are stored in {stored}")
    return _LAYOUTS[element]


def _linear(checker: Checker, element: ElementType) -> None:
    if element is not ElementType.INT32:
        raise checker.error(f"linear numbers are int32, not {element.dtype_name}")


def _log_products(checker: Checker, outputs: int) -> None:
    """Prove types and ranges, and that no sum of products leaves the accumulator."""
    kernel = checker.kernel
    layout = _layout(checker, kernel.activation)
    _linear(checker, kernel.output)
    if kernel.weight is not kernel.activation or kernel.per_channel:
        raise checker.error("its weights are not codes of its input's format")
    weights = checker.array("weights", layout.element.dtype_name, None, 0, layout.codes - 1)
    digit = (1 << BIAS_DIGIT_BITS) - 1
    low = checker.array("bias_low", "int32", (outputs,), 0, digit)
    high = checker.array("bias_high", "int32", (outputs,), -digit - 1, digit)
    mantissas = checker.array("mantissas", "int32", (layout.steps,), *_MANTISSA_RANGE)
    if (np.diff(mantissas) < 0).any():
        raise checker.error("its mantissas do not ascend")
    minimum = checker.array("minimum", "int32", (outputs,), LINEAR_LOW, LINEAR_HIGH)
    maximum = checker.array("maximum", "int32", (outputs,), LINEAR_LOW, LINEAR_HIGH)
    if (minimum > maximum).any():
        raise checker.error("a clamp's minimum is above its maximum")
    checker.number("mantissa", *_MANTISSA_RANGE)
    checker.number("shift", LEAST_SHIFT, GREATEST_SHIFT)
    product_shift = checker.number("product_shift", 0, layout.product_shift)
    greatest = product_table(mantissas, layout, product_shift)[-1]
    bound = greatest * (weights.size // outputs) + int(np.abs(bias_of(low, high)).max())
    if bound >= 1 << ACCUMULATOR_BITS:
        raise checker.error(f"its sums may reach {bound:_}, past {ACCUMULATOR_BITS} bits")


def _log_conv2d(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    strides = checker.numbers("strides", 2, 1, LARGEST_TENSOR)
    dilations = checker.numbers("dilations", 2, 1, LARGEST_TENSOR)
    pads = checker.numbers("pads", 4, 0, LARGEST_TENSOR)
    checker.padded(inputs[0], pads)
    weights = checker.constants["weights"]
    if weights.ndim != 4:
        raise checker.error(f"weights of rank {weights.ndim}, not 4")
    _log_products(checker, weights.shape[0])
    operator = Conv(
        strides=(strides[0], strides[1]),
        dilations=(dilations[0], dilations[1]),
        pads=(pads[0], pads[1], pads[2], pads[3]),
        groups=checker.number("groups", 1, LARGEST_TENSOR),
    )
    return operator.output_shape([inputs[0], weights.shape])


def _log_gemm(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    weights = checker.constants["weights"]
    x = inputs[0]
    if weights.ndim != 2 or len(x) != 2 or x[1] != weights.shape[1]:
        raise checker.error(f"weights {list(weights.shape)} do not fit an input of shape {x}")
    _log_products(checker, weights.shape[0])
    return (x[0], weights.shape[0])


def _log_encode(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    _linear(checker, checker.kernel.activation)
    layout = _layout(checker, checker.kernel.output)
    thresholds = checker.array("thresholds", "int32", (layout.magnitudes,), 0, LINEAR_HIGH)
    if (np.diff(thresholds) < 0).any():
        raise checker.error("its thresholds do not ascend")
    checker.number("negative_threshold", 1, LINEAR_HIGH)
    return inputs[0]


def _log_decode(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    layout = _layout(checker, checker.kernel.activation)
    _linear(checker, checker.kernel.output)
    checker.array("levels", "int32", (layout.codes,), LINEAR_LOW, LINEAR_HIGH)
    return inputs[0]


def _linear_add(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    if inputs[0] != inputs[1]:
        raise checker.error(f"adds shapes {inputs[0]} and {inputs[1]}")
    return _linear_clamp(checker, inputs)


def _linear_clamp(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    _linear(checker, checker.kernel.activation)
    checker.clamp_range()
    return inputs[0]


def _linear_average_pool(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    kernel, strides, pads = checker.window()
    checker.padded(inputs[0], pads)
    _linear_clamp(checker, inputs)
    if kernel[0] * kernel[1] > LARGEST_TENSOR:
        raise checker.error(f"its window {kernel} is larger than is allowed")
    shape = AveragePool(kernel_shape=kernel, strides=strides, pads=pads).output_shape(inputs)
    positions = (shape[2] or 0, shape[3] or 0)
    single = checker.constants["counts"].shape == (1, 1)
    checker.array("counts", "int32", (1, 1) if single else positions, 1, LARGEST_TENSOR)
    return shape


LOG_RULES: dict[str, Callable[[Checker, Sequence[Shape]], Shape]] = {
    "log_conv2d": _log_conv2d,
    "log_gemm": _log_gemm,
    "log_encode": _log_encode,
    "log_decode": _log_decode,
    "linear_add": _linear_add,
    "linear_average_pool": _linear_average_pool,
    "linear_clamp": _linear_clamp,
}
