"""What each integer instruction requires of its shapes, types and numbers.

Run whenever a program is made, also from a file that a stranger wrote: after it, kernels index without checks, and no
accumulator overflows, whatever the inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.accumulation import SATURATING_BITS, product_bounds, saturates
from intlower.compiler.errors import InvalidGraph
from intlower.compiler.instruction_checker import LARGEST_TENSOR, Attributes, Checker
from intlower.compiler.instruction_rules_extended import EXTENDED_RULES
from intlower.compiler.instruction_rules_general import GENERAL_RULES
from intlower.compiler.instruction_rules_half import HALF_RULES
from intlower.compiler.instruction_rules_log import LOG_RULES
from intlower.compiler.operators import AveragePool, Concat, Conv, MaxPool, Pad, Shape, Slice
from intlower.kernels.numerics_fixed import SUM_INTEGER_BITS
from intlower.kernels.signature import ElementType, KernelKey, Requantize


def check_instruction(
    name: str,
    kernel: KernelKey,
    input_shapes: Sequence[Shape],
    input_elements: Sequence[ElementType],
    output_shape: Shape,
    output_element: ElementType,
    constants: Mapping[str, NDArray[Any]],
    attributes: Attributes,
) -> None:
    """Prove that a kernel may be called with these arguments.

    Args:
        name: of the instruction, for messages.
        kernel: the kernel, whose element types the tensors must have.
        input_shapes: shape of each input tensor; axis 0 may be None.
        input_elements: type of each input tensor.
        output_shape: declared shape of the output.
        output_element: declared type of the output.
        constants: the integer arrays.
        attributes: the integers.

    Raises:
        ArtifactError: something does not fit; the message says what.
    """
    schema = kernel.schema
    checker = Checker(name, kernel, constants, attributes)
    if (schema.inputs is not None and len(input_shapes) != schema.inputs) or not input_shapes:
        raise checker.error(f"takes {schema.inputs or 'one or more'} tensors")
    if any(element is not kernel.activation for element in input_elements):
        raise checker.error(f"its inputs are not {kernel.activation.dtype_name}")
    if output_element is not kernel.output:
        raise checker.error(f"its output is not {kernel.output.dtype_name}")
    try:
        expected = _RULES[kernel.operator](checker, input_shapes)
    except InvalidGraph as error:
        raise checker.error(str(error)) from None
    if expected != output_shape:
        raise checker.error(f"computes {expected}, not {output_shape}")
    if math.prod(d for d in output_shape if d is not None) > LARGEST_TENSOR:
        raise checker.error(f"a tensor of shape {output_shape} is larger than is allowed")


def _weighted(checker: Checker, outputs: int) -> None:
    assert checker.kernel.weight is not None  # the kernel key proves it
    low, high = checker.kernel.weight.limits
    checker.array("weights", checker.kernel.weight.dtype_name, None, low, high)
    wide = checker.constants["bias"].dtype == np.int64
    limit = 1 << 61
    if wide:
        checker.array("bias", "int64", (outputs,), -limit, limit)
    else:
        checker.array("bias", "int32", (outputs,), *ElementType.INT32.limits)
    checker.scales((outputs,))
    codes = checker.kernel.output.limits
    minimum = checker.array("minimum", "int32", (outputs,), *codes)
    maximum = checker.array("maximum", "int32", (outputs,), *codes)
    if (minimum > maximum).any():
        raise checker.error("a clamp's minimum is above its maximum")
    checker.zero_points(weighted=True)
    zero_point = checker.number("input_zero_point", *checker.kernel.activation.limits)
    weight_zero_point = checker.number("weight_zero_point", *checker.kernel.weight.limits)
    lowest, highest = product_bounds(
        checker.constants["weights"],
        weight_zero_point,
        *(limit - zero_point for limit in checker.kernel.activation.limits),
    )
    bias = checker.constants["bias"].astype(np.int64)
    if checker.kernel.requantize is Requantize.F32BIAS and np.any(
        bias.astype(np.float32).astype(np.int64) != bias
    ):
        raise checker.error("single precision does not hold its biases")
    bound = np.maximum(highest + np.maximum(bias, 0), -lowest - np.minimum(bias, 0))
    if "accumulator_bits" in checker.attributes:
        bits = checker.number("accumulator_bits", *SATURATING_BITS)
        product = checker.reach(zero_point) * max(
            abs(c - weight_zero_point) for c in (low, high)
        )
        late = checker.kernel.requantize is Requantize.F32BIAS
        if wide or late or not saturates(bits, bias, product):
            raise checker.error(
                f"its biases or products do not fit sums that saturate at {bits} bits"
            )
        checker.accumulator(np.minimum(bound, 1 << (bits - 1)), checker.constants["shift"])
    elif wide:
        checker.wide_accumulator(bound)
    else:
        checker.accumulator(bound, checker.constants["shift"])


def _conv2d(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    strides = checker.numbers("strides", 2, 1, LARGEST_TENSOR)
    dilations = checker.numbers("dilations", 2, 1, LARGEST_TENSOR)
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
    weights = checker.constants["weights"]
    x = inputs[0]
    if weights.ndim != 2 or len(x) != 2 or x[1] != weights.shape[1]:
        raise checker.error(f"weights {list(weights.shape)} do not fit an input of shape {x}")
    _weighted(checker, weights.shape[0])
    return (x[0], weights.shape[0])


# How many multipliers and shifts a sum takes, and the least of its shifts; the POWER rules: two, one, 0.
_SUM_STAGES = {
    Requantize.F32EVEN: (2, 2),
    Requantize.F32BIAS: (2, 2),
    Requantize.MUL31DOUBLE: (3, 3),
    Requantize.MUL31SINGLE: (2, 3),
}
_LEAST_SUM_SHIFT = {
    Requantize.F32EVEN: 1,
    Requantize.F32BIAS: 1,
    Requantize.MUL31DOUBLE: 31,
}


def _add(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    rule = checker.kernel.requantize
    assert rule is not None  # the key proves it
    double = rule is Requantize.MUL31DOUBLE
    multipliers, stages = _SUM_STAGES.get(rule, (2, 1))
    factors = checker.numbers("multiplier", multipliers, 0, checker.multiplier_limit)
    checker.powers(np.array(factors))
    shifts = checker.numbers("shift", stages, _LEAST_SUM_SHIFT.get(rule, 0), 62)
    if rule.single_precision and abs(shifts[0] - shifts[1]) > 14:
        raise checker.error(f"shifts {shifts} lie further apart than equation (9) allows")
    left_shift = checker.number("left_shift", 0, 20 if double else 0)
    for zero_point in checker.numbers(
        "input_zero_points", 2, *checker.kernel.activation.limits
    ):
        if checker.reach(zero_point) << left_shift > 1 << 30:
            raise checker.error(f"left_shift {left_shift} is more than equation (13) allows")
    checker.number("output_zero_point", *checker.kernel.output.limits)
    checker.clamp_range()
    if inputs[0] != inputs[1]:
        raise checker.error(f"adds shapes {inputs[0]} and {inputs[1]}")
    return inputs[0]


def _average_pool(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    kernel, strides, pads = checker.window()
    checker.padded(inputs[0], pads)
    checker.zero_points()
    checker.clamp_range()
    shape = AveragePool(kernel_shape=kernel, strides=strides, pads=pads).output_shape(inputs)
    positions = (shape[2] or 0, shape[3] or 0)
    uniform = checker.constants["multiplier"].shape == (1, 1)
    checker.scales((1, 1) if uniform else positions)
    zero_point = checker.number("input_zero_point", *checker.kernel.activation.limits)
    bound = kernel[0] * kernel[1] * checker.reach(zero_point)
    checker.accumulator(bound, checker.constants["shift"])
    return shape


def _requantize(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    checker.powers(np.array(checker.number("multiplier", 0, checker.multiplier_limit)))
    shift = checker.number("shift", checker.least_shift, 62)
    checker.zero_points()
    checker.clamp_range()
    zero_point = checker.number("input_zero_point", *checker.kernel.activation.limits)
    checker.accumulator(checker.reach(zero_point), shift)
    return inputs[0]


def _max_pool(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    kernel, strides, pads = checker.window()
    checker.padded(inputs[0], pads)
    dilations = checker.numbers("dilations", 2, 1, LARGEST_TENSOR)
    operator = MaxPool(
        kernel_shape=kernel, strides=strides, pads=pads, dilations=(dilations[0], dilations[1])
    )
    return operator.output_shape(inputs)


def _concat(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    axis = checker.number("axis", 1, len(inputs[0]) - 1)
    return Concat(axis=axis).output_shape(inputs)


def _pad(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    pads = checker.numbers("pads", 2 * len(inputs[0]), 0, LARGEST_TENSOR)
    checker.number("value", *checker.kernel.activation.limits)
    if pads[0] or pads[len(inputs[0])]:
        raise checker.error("pads the batch")
    return Pad(pads=pads).output_shape(inputs)


def _slice(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    rank = len(inputs[0])
    axes = checker.numbers("axes", None, 1, rank - 1)
    limits = (-(1 << 62), 1 << 62)
    starts, ends, steps = (
        checker.numbers(key, len(axes), *limits) for key in ("starts", "ends", "steps")
    )
    if len(set(axes)) != len(axes):
        raise checker.error(f"slices an axis twice: {axes}")
    return Slice(starts=starts, ends=ends, axes=axes, steps=steps).output_shape(inputs)


def _reshape(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    shape = checker.numbers("shape", None, 0, LARGEST_TENSOR)
    x = inputs[0]
    if not shape or shape[0] != 0 or 0 in shape[1:]:
        raise checker.error(f"shape {shape} does not begin with 0, which keeps the batch")
    if math.prod(shape[1:]) != math.prod(d for d in x[1:] if d is not None):
        raise checker.error(f"reshapes {x} to {shape}")
    return (x[0], *shape[1:])


def _softmax(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    low, high = checker.kernel.activation.limits
    checker.array("table", "int32", (high - low + 1,), 0, (1 << 24) - 1)
    checker.number("axis", 1, len(inputs[0]) - 1)
    checker.number("maximum", 1, high + 1)
    if int(checker.constants["table"][0]) < 1:
        raise checker.error("the table's first entry, exp(0), must be positive")
    return inputs[0]


def _mean_pool(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    kernel, strides, pads = checker.window()
    checker.padded(inputs[0], pads)
    checker.clamp_range()
    if checker.reach(0) * math.prod(kernel) > ElementType.INT32.limits[1]:
        raise checker.error(f"sums over windows of {kernel} may leave int32")
    return AveragePool(kernel_shape=kernel, strides=strides, pads=pads).output_shape(inputs)


def _softmax_fixed(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    low, high = checker.kernel.activation.limits
    greatest = ElementType.INT32.limits[1]
    table = checker.array("table", "int32", (high - low + 1,), 0, greatest)
    axis = checker.number("axis", 1, len(inputs[0]) - 1)
    if high - low > 255 or int(table[0]) != greatest:
        raise checker.error("takes 8-bit codes and a table that begins with 2**31 - 1, exp(0)")
    if (inputs[0][axis] or 1) >= 1 << SUM_INTEGER_BITS:
        raise checker.error(f"sums {inputs[0][axis]} exponentials, past int32")
    return inputs[0]


_RULES = {
    "conv2d": _conv2d,
    "gemm": _gemm,
    "saturating_conv2d": _conv2d,
    "saturating_gemm": _gemm,
    "add": _add,
    "average_pool": _average_pool,
    "requantize": _requantize,
    "max_pool": _max_pool,
    "concat": _concat,
    "pad": _pad,
    "slice": _slice,
    "reshape": _reshape,
    "softmax": _softmax,
    "mean_pool": _mean_pool,
    "softmax_fixed": _softmax_fixed,
    **EXTENDED_RULES,
    **GENERAL_RULES,
    **LOG_RULES,
    **HALF_RULES,
}
