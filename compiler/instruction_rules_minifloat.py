"""What each minifloat instruction requires of its shapes, types and numbers; see `instruction_rules.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from intlower.compiler.instruction_checker import LARGEST_TENSOR, Checker
from intlower.compiler.operators import AveragePool, Conv, Shape
from intlower.kernels.minifloat_rule import REACH, MinifloatRule

# A bias and a count are binary32 numbers: 24 bits of mantissa.
_LARGEST_BIAS = 1 << 24
_LARGEST_COUNT = (1 << 24) - 1
_LARGEST_SHIFT = 62


def _rule(checker: Checker) -> MinifloatRule:
    assert checker.kernel.minifloat is not None  # the kernel key proves it
    return checker.kernel.minifloat


def exponent_bias_limits(rule: MinifloatRule) -> tuple[int, int]:
    """Return the least and the greatest exponent bias with which all numbers are within 2**-REACH .. 2**REACH."""
    return (1 << rule.exponent_bits) - REACH, REACH


def _exponent_biases(checker: Checker) -> None:
    limits = exponent_bias_limits(_rule(checker))
    for name in checker.kernel.schema.attributes:
        if name.endswith("exponent_bias"):
            checker.number(name, *limits)
        elif name.endswith("exponent_biases"):
            checker.numbers(name, 2, *limits)


def _limits(checker: Checker, channels: int) -> None:
    greatest = _rule(checker).greatest
    low, high = (
        checker.array(name, "int32", (channels,), -greatest, greatest)
        for name in ("minimum", "maximum")
    )
    if (low > high).any():
        raise checker.error("a clamp's minimum is above its maximum")
    _exponent_biases(checker)


def _channels(shape: Shape) -> int:
    """Return the size of axis 1, by which limits differ."""
    return (shape[1] or 0) if len(shape) > 1 else 1


def _weighted(checker: Checker, outputs: int) -> None:
    kernel, greatest = checker.kernel, _rule(checker).greatest
    if kernel.weight is not kernel.activation or kernel.per_channel:
        raise checker.error(
            "its weights are not minifloats of the inputs' layout, with one bias"
        )
    checker.array("weights", kernel.activation.dtype_name, None, -greatest, greatest)
    checker.array("bias", "int32", (outputs,), -_LARGEST_BIAS, _LARGEST_BIAS)
    checker.array("shift", "int32", (outputs,), 0, _LARGEST_SHIFT)
    _limits(checker, outputs)


def _conv2d(checker: Checker, inputs: Sequence[Shape]) -> Shape:
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


def _gemm(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    weights, x = checker.constants["weights"], inputs[0]
    if weights.ndim != 2 or len(x) != 2 or x[1] != weights.shape[1]:
        raise checker.error(f"weights {list(weights.shape)} do not fit an input of shape {x}")
    _weighted(checker, weights.shape[0])
    return (x[0], weights.shape[0])


def _add(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    if inputs[0] != inputs[1]:
        raise checker.error(f"adds shapes {inputs[0]} and {inputs[1]}")
    _limits(checker, _channels(inputs[0]))
    return inputs[0]


def _average_pool(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    kernel, strides, pads = checker.window()
    checker.padded(inputs[0], pads)
    shape = AveragePool(kernel_shape=kernel, strides=strides, pads=pads).output_shape(inputs)
    uniform = checker.constants["count"].shape == (1, 1)
    positions = (1, 1) if uniform else (shape[2] or 0, shape[3] or 0)
    checker.array("count", "int32", positions, 1, _LARGEST_COUNT)
    _limits(checker, _channels(inputs[0]))
    return shape


def _clip(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    _limits(checker, _channels(inputs[0]))
    return inputs[0]


MINIFLOAT_RULES: dict[str, Callable[[Checker, Sequence[Shape]], Shape]] = {
    "minifloat_conv2d": _conv2d,
    "minifloat_gemm": _gemm,
    "minifloat_add": _add,
    "minifloat_average_pool": _average_pool,
    "minifloat_clip": _clip,
}
