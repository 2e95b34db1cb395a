"""The rules as onnxruntime computes them, against `numerics`: every bit, over the whole range of each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from intlower.compiler.onnx_functions import arithmetic
from intlower.compiler.onnx_functions.body import DOMAIN, OPSET, Body, Value
from intlower.kernels import numerics, numerics_sums
from intlower.kernels.reference import SCALE_RULES, SUM_RULES
from intlower.kernels.signature import Requantize

pytestmark = pytest.mark.crosscheck

INT32 = (-(1 << 31), (1 << 31) - 1)

Integers = NDArray[np.int64]


def opened(rule: Callable[..., Value], arguments: int, optimize: bool) -> Callable[..., Any]:
    """Return a function of int64 arrays that onnxruntime computes by the rule's nodes alone."""
    body = Body()
    names = [f"x{i}" for i in range(arguments)]
    result = rule(*(body.parameter(name, "int64") for name in names))
    function = body.function("rule", inputs=names, output=result, attributes=(), description="")
    values = [
        helper.make_tensor_value_info(name, TensorProto.INT64, None) for name in (*names, "y")
    ]
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("rule", names, ["y"], domain=DOMAIN)],
            "rule",
            values[:-1],
            values[-1:],
        ),
        functions=[function],
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)],
        ir_version=9,
    )
    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def run(*arrays: Any) -> Any:
        feeds = {name: np.asarray(a, np.int64) for name, a in zip(names, arrays, strict=True)}
        return session.run(None, feeds)[0]

    return run


def accumulators(generator: np.random.Generator, limit: int = 1 << 31) -> Integers:
    """Return int32 numbers: small, any, and around every power of two and its halves."""
    near = [
        sign * (factor << power) + delta
        for sign in (-1, 1)
        for power in range(31)
        for factor in (1, 3, 5, (1 << 24) - 1, (1 << 24) + 1, (1 << 25) + 1, (1 << 25) + 3)
        for delta in range(-3, 4)
    ]
    numbers = np.concatenate(
        [
            np.arange(-(1 << 17), 1 << 17),
            generator.integers(*INT32, 1 << 19, endpoint=True),
            generator.integers(*INT32, 1 << 17, endpoint=True) >> generator.integers(0, 31),
            np.repeat(np.array(near), 8),
            np.array(INT32),
        ]
    )
    return numbers[np.abs(numbers) <= limit] if limit < 1 << 31 else np.clip(numbers, *INT32)


def multipliers(generator: np.random.Generator, bits: int, count: int) -> Integers:
    """Return multipliers of so many bits: any, powers of two (which make ties), and the ends."""
    drawn = generator.integers(1 << (bits - 1), 1 << bits, count)
    choice = generator.integers(0, 8, count)
    ends = np.array([1 << (bits - 1), (1 << bits) - 1, 3 << (bits - 2), 0])
    return np.where(choice < 4, ends[choice % 4], drawn)


@pytest.mark.parametrize("optimize", [True, False])
def test_scale_float32_equals_the_specification_for_every_kind_of_accumulator(
    optimize: bool,
) -> None:
    generator = np.random.default_rng(1)
    run = opened(arithmetic.scale_float32, 3, optimize)
    for _ in range(2):
        accumulator = accumulators(generator)
        multiplier = multipliers(generator, 24, accumulator.size)
        shift = generator.integers(1, 62, accumulator.size, endpoint=True)
        expected = numerics.scale_float32(accumulator, multiplier, shift)
        assert np.array_equal(run(accumulator, multiplier, shift), expected)


def test_scale_float32_equals_the_floating_point_unit() -> None:
    generator = np.random.default_rng(2)
    accumulator = accumulators(generator)
    multiplier = generator.integers(1 << 23, 1 << 24, accumulator.size)
    shift = generator.integers(30, 62, accumulator.size, endpoint=True)
    scale = np.ldexp(multiplier.astype(np.float32), -shift)
    product = accumulator.astype(np.float32) * scale
    run = opened(arithmetic.scale_float32, 3, True)
    assert np.array_equal(run(accumulator, multiplier, shift), np.rint(product))


@pytest.mark.parametrize("optimize", [True, False])
def test_scale_double_rounding_equals_the_specification_for_every_shift(
    optimize: bool,
) -> None:
    generator = np.random.default_rng(3)
    run = opened(arithmetic.scale_double_rounding, 3, optimize)
    for shift in range(1, 63):
        limit = (1 << min(31, shift)) - 1  # accumulator * 2**(31 - shift) is an int32
        numbers = accumulators(generator, limit)
        accumulator = generator.choice(numbers, min(numbers.size, 30_000))
        multiplier = multipliers(generator, 31, accumulator.size)
        shifts = np.full(accumulator.size, shift)
        expected = numerics.scale_double_rounding(accumulator, multiplier, shifts)
        assert np.array_equal(run(accumulator, multiplier, shifts), expected)


@pytest.mark.parametrize("optimize", [True, False])
def test_scale_single_rounding_equals_the_specification_for_every_shift(
    optimize: bool,
) -> None:
    generator = np.random.default_rng(4)
    run = opened(arithmetic.scale_single_rounding, 3, optimize)
    accumulator = accumulators(generator)
    multiplier = multipliers(generator, 31, accumulator.size)
    shift = generator.integers(1, 62, accumulator.size, endpoint=True)
    expected = numerics.scale_single_rounding(accumulator, multiplier, shift)
    assert np.array_equal(run(accumulator, multiplier, shift), expected)


@pytest.mark.parametrize("optimize", [True, False])
def test_sum_float32_equals_the_specification(optimize: bool) -> None:
    generator = np.random.default_rng(5)
    run = opened(arithmetic.sum_float32, 6, optimize)
    count = 1 << 19
    a, b = generator.integers(-(1 << 16), 1 << 16, (2, count), endpoint=True)
    a[: count // 2] >>= 8
    b[: count // 4] >>= 8
    multiplier_a, multiplier_b = (multipliers(generator, 24, count) for _ in range(2))
    shift_a = generator.integers(1, 62, count, endpoint=True)
    shift_b = np.clip(shift_a + generator.integers(-14, 14, count, endpoint=True), 1, 62)
    arguments = (a, multiplier_a, shift_a, b, multiplier_b, shift_b)
    assert np.array_equal(run(*arguments), numerics_sums.sum_float32(*arguments))


@pytest.mark.parametrize("optimize", [True, False])
def test_sum_double_rounding_equals_the_specification_for_every_pair_of_codes(
    optimize: bool,
) -> None:
    generator = np.random.default_rng(6)
    run = opened(arithmetic.sum_double_rounding, 5, optimize)
    codes = np.arange(-255, 256)
    a, b = codes[:, None], codes[None, :]
    for _ in range(20):
        multiplier = multipliers(generator, 31, 3)
        shift = generator.integers(31, 62, 3, endpoint=True)
        shift[:2] = generator.integers(31, 40, 2)
        expected = numerics_sums.sum_double_rounding(
            a, multiplier[0], shift[0], b, multiplier[1], shift[1], multiplier[2], shift[2], 20
        )
        assert np.array_equal(run(a, b, multiplier, shift, 20), expected)


def test_divide_half_up_equals_the_specification() -> None:
    generator = np.random.default_rng(7)
    denominator = generator.integers(1, 1 << 32, 1 << 18)
    denominator[: 1 << 17] >>= 24
    denominator = np.maximum(denominator, 1)
    numerator = generator.integers(0, 1 << 40, 1 << 18)
    numerator[: 1 << 16] = denominator[: 1 << 16] * 3 // 2
    run = opened(arithmetic.divide_half_up, 2, True)
    expected = numerics.divide_half_up(numerator, denominator)
    assert np.array_equal(run(numerator, denominator), expected)


def test_floor_divide_rounds_down_on_both_sides_of_zero() -> None:
    generator = np.random.default_rng(8)
    x = generator.integers(-(1 << 62), 1 << 62, 1 << 18)
    shift = generator.integers(0, 62, x.size, endpoint=True)
    run = opened(arithmetic.floor_divide, 2, True)
    assert np.array_equal(run(x, np.int64(1) << shift), x >> shift)


@pytest.mark.parametrize("optimize", [True, False])
def test_clamp_is_right_where_max_of_onnxruntime_errs(optimize: bool) -> None:
    near = np.array([s * (1 << p) + d for s in (-1, 1) for p in range(62) for d in (-1, 0, 1)])
    run = opened(arithmetic.clamp, 3, optimize)
    for low, high in ((-128, 127), (0, 255), (-32768, 32767), (35, 89)):
        assert np.array_equal(run(near, low, high), np.clip(near, low, high))


def test_every_requantization_has_its_rule() -> None:
    accumulator = np.arange(-5000, 5000)
    for rule in Requantize:
        bits = 24 if rule.single_precision else 31
        run = opened(partial(arithmetic.scale, rule), 3, True)
        multiplier, shift = 3 << (bits - 2), bits + 2
        if rule.power_of_two:
            multiplier, shift = 2, 5
        expected = SCALE_RULES[rule](accumulator, multiplier, shift)
        assert np.array_equal(run(accumulator, multiplier, shift), expected)


POWER_RULES = [rule for rule in Requantize if rule.power_of_two]


@pytest.mark.parametrize("rule", POWER_RULES)
@pytest.mark.parametrize("optimize", [True, False])
def test_shift_right_equals_the_specification_for_every_shift(
    rule: Requantize, optimize: bool
) -> None:
    generator = np.random.default_rng(9)
    shift = np.repeat(np.arange(63), 500)
    x = generator.integers(-(1 << 62), 1 << 62, shift.size) >> generator.integers(
        0, 62, shift.size
    )
    ties = (generator.integers(-9, 9, shift.size) * 2 + 1) << np.clip(shift - 1, 0, 56)
    x = np.where(generator.random(shift.size) < 0.3, ties, x)
    run = opened(partial(arithmetic.shift_right, rule), 2, optimize)
    assert np.array_equal(run(x, shift), SCALE_RULES[rule](x, 1, shift))


@pytest.mark.parametrize("rule", POWER_RULES)
def test_sum_power_equals_the_specification_for_every_pair_of_codes(rule: Requantize) -> None:
    run = opened(partial(arithmetic.sum_power, rule), 4, True)
    codes = np.arange(-255, 256)
    a, b = codes[:, None], codes[None, :]
    for left, right, shift in ((0, 0, 0), (0, 3, 2), (5, 0, 7), (1, 0, 1)):
        powers, shifts = np.array([1 << left, 1 << right]), np.array([shift])
        expected = SUM_RULES[rule](a, b, powers, shifts, 0)
        assert np.array_equal(run(a, b, powers, shifts), expected)


def test_sum_single_rounding_equals_the_specification() -> None:
    generator = np.random.default_rng(10)
    run = opened(arithmetic.sum_single_rounding, 4, True)
    a, b = generator.integers(-(1 << 16), 1 << 16, (2, 1 << 16), endpoint=True)
    for _ in range(20):
        multiplier = generator.integers(0, 1 << 31, 2)
        shift = generator.integers(0, 40, 3)
        expected = SUM_RULES[Requantize.MUL31SINGLE](a, b, multiplier, shift, 0)
        assert np.array_equal(run(a, b, multiplier, shift), expected)
