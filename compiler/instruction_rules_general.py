"""What products of activations, normalizations, quotients, constants and conversions require; see `instruction_rules.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from intlower.compiler.instruction_checker import Checker
from intlower.compiler.instruction_rules_extended import uniform_scale
from intlower.compiler.operators import Shape
from intlower.kernels import numerics_general as general
from intlower.kernels.signature import ElementType

_NARROW = (ElementType.INT8, ElementType.UINT8, ElementType.INT16, ElementType.UINT16)
_INT32 = ElementType.INT32.limits


def _narrow(checker: Checker) -> None:
    if checker.kernel.activation not in _NARROW or checker.kernel.output not in _NARROW:
        raise checker.error("takes and makes codes of 8 or 16 bits")


def _reaches(checker: Checker) -> tuple[int, int]:
    first, second = checker.numbers("input_zero_points", 2, *checker.kernel.activation.limits)
    return checker.reach(first), checker.reach(second)


def _matmul(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    _narrow(checker)
    a, b = inputs
    if len(a) != len(b) or len(a) < 3 or a[:-2] != b[:-2] or a[-1] != b[-2]:
        raise checker.error(f"multiplies matrices {a} and {b}")
    reaches = _reaches(checker)
    checker.number("output_zero_point", *checker.kernel.output.limits)
    checker.clamp_range()
    uniform_scale(checker, (a[-1] or 1) * reaches[0] * reaches[1])
    return (*a[:-1], b[-1])


def _normalize(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    _narrow(checker)
    x = inputs[0]
    if len(x) != 3:
        raise checker.error(f"normalizes [N, R, n], not {x}")
    rows, count = x[1] or 0, x[2] or 0
    multiplier = checker.array("multiplier", "int32", None, *_INT32)
    checker.array("bias", "int32", multiplier.shape, *_INT32)
    if multiplier.ndim != 2 or any(
        size not in (1, wanted)
        for size, wanted in zip(multiplier.shape, (rows, count), strict=True)
    ):
        raise checker.error(f"multipliers {list(multiplier.shape)} do not fit {x}")
    checker.number("bias_shift", 0, 29)
    checker.number("shift", 0, 62)
    low, high = checker.kernel.activation.limits
    dropped = checker.number("input_shift", 0, 15)
    checker.number("epsilon", 1, (1 << 61) - 1)
    checker.number("output_zero_point", *checker.kernel.output.limits)
    checker.clamp_range()
    # n * sum x**2 and (sum x)**2 are each at most (n * half the range)**2.
    if (count * ((high - low + 1) >> 1 >> dropped)) ** 2 > 1 << 61 or count > 1 << 27:
        raise checker.error(f"its sums over {count} codes leave 62 bits")
    return x


def _lrn(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    _narrow(checker)
    x = inputs[0]
    if len(x) != 4:
        raise checker.error(f"normalizes images, not a tensor of shape {x}")
    checker.array("table", "int32", (general.OCTAVE_ENTRIES,), 0, _INT32[1])
    size = checker.number("size", 1, 2 * (x[1] or 0) + 1)
    sum_shift = checker.number("sum_shift", 0, 31)
    checker.number("shift", 1, 62)
    checker.zero_points()
    checker.clamp_range()
    zero_point = checker.number("input_zero_point", *checker.kernel.activation.limits)
    window = min(size, x[1] or 1)
    if (window * checker.reach(zero_point) ** 2) >> sum_shift >= 1 << general.INTERPOLATED_BITS:
        raise checker.error("its sums of squares leave 31 bits")
    return x


def _divide(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    _narrow(checker)
    _reaches(checker)
    checker.number("multiplier", 0, _INT32[1])
    checker.number("shift", 0, 40)
    checker.number("output_zero_point", *checker.kernel.output.limits)
    checker.clamp_range()
    if inputs[0] != inputs[1]:
        raise checker.error(f"divides shapes {inputs[0]} and {inputs[1]}")
    return inputs[0]


def _constant(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    key = checker.kernel
    if key.output is ElementType.FLOAT16 or key.activation is ElementType.FLOAT16:
        raise checker.error("its codes are integers")
    codes = checker.array("codes", key.output.dtype_name, None, *key.output.limits)
    if codes.ndim < 1:
        raise checker.error("a constant of one number has no axes")
    return (inputs[0][0], *codes.shape)


def _convert(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    # |x| <= 2**32 and the multiplier, together with what is added to round, stay below 2**62.
    checker.number("multiplier", 0, 1 << 29)
    checker.number("shift", 1, 61)
    checker.zero_points()
    checker.clamp_range()
    return inputs[0]


def _lookup_interpolated(checker: Checker, inputs: Sequence[Shape]) -> Shape:
    _narrow(checker)
    key = checker.kernel
    if key.activation not in _NARROW[2:]:
        raise checker.error("looks up codes of 16 bits")
    segments = 1 << (16 - general.SEGMENT_BITS)
    checker.array("table", "int32", (segments + 1,), *key.output.limits)
    return inputs[0]


GENERAL_RULES: dict[str, Callable[[Checker, Sequence[Shape]], Shape]] = {
    "matmul": _matmul,
    "normalize": _normalize,
    "lrn": _lrn,
    "divide": _divide,
    "constant": _constant,
    "convert": _convert,
    "lookup_interpolated": _lookup_interpolated,
}
