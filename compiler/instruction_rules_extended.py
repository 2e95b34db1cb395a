"""What tables, rearrangement, products of tensors and resampling require; see `instruction_rules.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from intlower.compiler.instruction_checker import LARGEST_TENSOR, Checker
from intlower.compiler.operators import Shape, Transpose, broadcast
from intlower.kernels.signature import ElementType, Requantize
from intlower.kernels.table import LOOPS

# Tables for every code of more than 16 bits would not fit a file.
_TABLED = (ElementType.INT8, ElementType.UINT8, ElementType.INT16, ElementType.UINT16)


def _table(checker: Checker, channels: tuple[int, ...]) -> None:
    key = checker.kernel
    if key.activation not in _TABLED or key.output not in _TABLED:
        raise checker.error("looks up codes of 8 or 16 bits")
    low, high = key.activation.limits
    shape = (*channels, high - low + 1)
    checker.array("table", key.output.dtype_name, shape, *key.output.limits)


def _lookup(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    _table(checker, ())
    return inputs[0]


def _lookup_channels(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    if len(inputs[0]) < 2:
        raise checker.error(f"an input of shape {inputs[0]} has no channels")
    _table(checker, (inputs[0][1] or 0,))
    return inputs[0]


def _transpose(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    rank = len(inputs[0])
    permutation = checker.numbers("permutation", rank, 0, rank - 1)
    if permutation[:1] != (0,):
        raise checker.error(f"permutation {permutation} moves the batch")
    return Transpose(permutation=permutation).output_shape(inputs)


def _gather(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    x = inputs[0]
    axis = checker.number("axis", 1, len(x) - 1)
    indices = checker.array("indices", "int32", None, 0, (x[axis] or 1) - 1)
    if indices.ndim != 1:
        raise checker.error(f"indices of shape {list(indices.shape)} are not a list")
    return (*x[:axis], len(indices), *x[axis + 1 :])


def _multiply(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    zero_points = checker.numbers("input_zero_points", 2, *checker.kernel.activation.limits)
    checker.number("output_zero_point", *checker.kernel.output.limits)
    checker.clamp_range()
    bound = checker.reach(zero_points[0]) * checker.reach(zero_points[1])
    uniform_scale(checker, bound)
    a, b = inputs
    if len(a) != len(b) or a[0] != b[0]:
        raise checker.error(f"multiplies shapes {a} and {b}")
    shape = broadcast(a, b)
    if len(shape) - 1 > LOOPS:
        raise checker.error(f"multiplies tensors of rank {len(shape)}")
    return shape


def _resample(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    x = inputs[0]
    if len(x) != 4:
        raise checker.error(f"resamples images, not a tensor of shape {x}")
    sizes: list[int] = []
    weight = 1
    for axis, side in ((2, "row"), (3, "column")):
        indices = checker.array(f"{side}_indices", "int32", None, 0, (x[axis] or 1) - 1)
        if indices.ndim != 2 or indices.size > LARGEST_TENSOR:
            raise checker.error(f"{side}_indices has the shape {list(indices.shape)}")
        limit = 1 << 30
        weights = checker.array(f"{side}_weights", "int32", indices.shape, -limit, limit)
        weight *= int(np.abs(weights.astype(np.int64)).sum(axis=1).max())
        sizes.append(len(indices))
    checker.zero_points()
    checker.clamp_range()
    zero_point = checker.number("input_zero_point", *checker.kernel.activation.limits)
    bound = weight * checker.reach(zero_point)
    shift = uniform_scale(checker, bound)
    checker.accumulator(bound, shift)
    return (*x[:2], *sizes)


def uniform_scale(checker: Checker, bound: int) -> int:
    """Return the shift, after proving that a number of at most `bound` can be scaled.

    Single precision takes what has at most 32 bits; a Q31 multiplier with two roundings takes an int32, the rest what
    stays below 2**62 after the multiplication.
    """
    multiplier = checker.number("multiplier", 0, checker.multiplier_limit)
    checker.powers(np.array(multiplier))
    shift = checker.number("shift", checker.least_shift, 62)
    rule = checker.kernel.requantize
    assert rule is not None  # the key proves it
    if rule is Requantize.MUL31DOUBLE:
        checker.accumulator(bound, shift)
    elif rule.single_precision:
        if bound > 1 << 32:
            raise checker.error(f"its products may reach {bound:_}, past 32 bits")
    elif bound * max(multiplier, 1) >= 1 << 62:
        raise checker.error("its products may leave 64 bits when they are multiplied")
    return shift


EXTENDED_RULES: dict[str, Callable[[Checker, Sequence[Shape]], Shape]] = {
    "lookup": _lookup,
    "lookup_channels": _lookup_channels,
    "transpose": _transpose,
    "gather": _gather,
    "multiply": _multiply,
    "resample": _resample,
}
