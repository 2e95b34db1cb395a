"""Every operator as onnxruntime computes it, against the oracle: every bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_programs import ORIGIN, grid
from strategies import INTEGER_OPERATORS, codes_for, instructions, programs

from intlower.compiler.constant import Constant
from intlower.compiler.crosscheck import run_onnxruntime
from intlower.compiler.program import Instruction, IntegerProgram, Tensor
from intlower.compiler.simulator import run_reference
from intlower.kernels.signature import OPERATORS, ElementType, KernelKey, Requantize

pytestmark = pytest.mark.crosscheck

INT8, UINT8, INT16, UINT16 = (
    ElementType.INT8,
    ElementType.UINT8,
    ElementType.INT16,
    ElementType.UINT16,
)
REQUANTIZED = sorted(name for name, schema in OPERATORS.items() if schema.requantized)
MOVING = sorted(set(INTEGER_OPERATORS) - set(REQUANTIZED))


def assert_same(program: IntegerProgram, codes: dict[str, np.ndarray], optimize: bool) -> None:
    expected = run_reference(program, codes, keep_all=True)
    actual = run_onnxruntime(program, codes, optimize=optimize, keep_all=True)
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert actual[name].dtype == tensor.dtype
        assert np.array_equal(actual[name], tensor), name


def check(strategy: st.SearchStrategy[IntegerProgram], examples: int) -> None:
    """Compare on generated programs and codes, optimizations on and off."""

    @settings(
        deadline=None,
        max_examples=examples,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(data=st.data())
    def holds(data: st.DataObject) -> None:
        program = data.draw(strategy)
        assert_same(program, data.draw(codes_for(program)), data.draw(st.booleans()))

    holds()


@pytest.mark.parametrize("rule", list(Requantize))
@pytest.mark.parametrize("operator", REQUANTIZED)
def test_requantizing_operators_on_8_bit_codes(operator: str, rule: Requantize) -> None:
    check(instructions(operator, requantizations=[rule]), 15)


@pytest.mark.parametrize("operator", MOVING)
def test_operators_that_keep_the_codes_8_bit(operator: str) -> None:
    check(instructions(operator), 12)


@pytest.mark.parametrize("operator", INTEGER_OPERATORS)
def test_operators_on_16_bit_codes(operator: str) -> None:
    check(instructions(operator, elements=(INT16, UINT16, INT8)), 8)


def test_programs_of_several_instructions() -> None:
    check(programs(), 15)


def matrix_program(
    rule: Requantize,
    weights: np.ndarray,
    *,
    activation: ElementType,
    weight: ElementType,
    bias: np.ndarray,
    multiplier: np.ndarray,
    shift: np.ndarray,
    input_zero_point: int = 0,
    weight_zero_point: int = 0,
) -> IntegerProgram:
    """A program of one gemm with int16 outputs, clamped nowhere."""
    outputs, depth = weights.shape
    per_output = {
        "bias": bias,
        "multiplier": multiplier,
        "shift": shift,
        "minimum": np.full(outputs, INT16.limits[0]),
        "maximum": np.full(outputs, INT16.limits[1]),
    }
    instruction = Instruction(
        name="gemm",
        kernel=KernelKey(
            operator="gemm",
            activation=activation,
            weight=weight,
            output=INT16,
            requantize=rule,
        ),
        inputs=("x",),
        output="y",
        constants={
            "weights": Constant.of(weights, weight.dtype_name),
            **{name: Constant.of(array, np.int32) for name, array in per_output.items()},
        },
        attributes={
            "input_zero_point": input_zero_point,
            "weight_zero_point": weight_zero_point,
            "output_zero_point": 0,
        },
        weight_grid=grid(1.0, weight),
    )
    return IntegerProgram(
        target="test",
        inputs=("x",),
        outputs=("y",),
        tensors={
            "x": Tensor(name="x", shape=(None, depth), grid=grid(1.0, activation)),
            "y": Tensor(name="y", shape=(None, outputs), grid=grid(1.0, INT16)),
        },
        instructions=(instruction,),
        origin=ORIGIN,
    )


def given_accumulators(
    rule: Requantize, accumulators: np.ndarray, multiplier: np.ndarray, shift: np.ndarray
) -> tuple[IntegerProgram, dict[str, np.ndarray]]:
    """A program whose accumulators are the biases."""
    program = matrix_program(
        rule,
        np.zeros((accumulators.size, 2), np.int64),
        activation=UINT8,
        weight=INT8,
        bias=accumulators,
        multiplier=multiplier,
        shift=shift,
    )
    return program, {"x": np.full((1, 2), 255, np.uint8)}


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("rule", list(Requantize))
def test_accumulators_over_all_of_int32_at_every_shift(
    rule: Requantize, optimize: bool
) -> None:
    generator = np.random.default_rng(1)
    bits = 24 if rule.single_precision else 31
    shift = np.repeat(np.arange(1, 63), 300)
    reach = np.full(shift.size, 31)
    if rule is Requantize.MUL31DOUBLE:
        reach = np.minimum(reach, shift)  # accumulator * 2**(31 - shift) is an int32
    # As many of each length, so that results of every shift fall among the codes, too.
    magnitude = generator.integers(0, 1 << 31, shift.size) >> (
        31 - generator.integers(0, reach, endpoint=True)
    )
    accumulators = np.where(generator.random(shift.size) < 0.5, -magnitude, magnitude)
    multiplier = generator.integers(1 << (bits - 1), 1 << bits, shift.size)
    multiplier[::2] = 1 << (bits - 1)  # a power of two: ties
    if rule.power_of_two:
        multiplier = np.where(shift > 30, 1 << (shift % 16), 1)
        shift = shift - 1
    if rule is Requantize.F32BIAS:
        accumulators = (accumulators >> 1).astype(np.float32).astype(np.int64)
    program, codes = given_accumulators(rule, accumulators, multiplier, shift)
    assert_same(program, codes, optimize)


@pytest.mark.parametrize("rule", list(Requantize))
def test_ties_at_every_half(rule: Requantize) -> None:
    bits = 1 if rule.power_of_two else 24 if rule.single_precision else 31
    accumulators = np.arange(-999, 1000)
    multiplier = np.full(accumulators.size, 1 << (bits - 1))
    shift = np.full(accumulators.size, bits)
    program, codes = given_accumulators(rule, accumulators, multiplier, shift)
    halves = run_onnxruntime(program, codes)["y"].ravel()
    expected = np.rint(accumulators / 2)
    if rule is Requantize.POWERAWAY:
        expected = np.trunc(accumulators / 2 + np.copysign(0.5, accumulators))
    elif not rule.single_precision and rule is not Requantize.POWEREVEN:
        expected = np.floor(accumulators / 2 + 0.5)
    assert np.array_equal(halves, expected)


@pytest.mark.parametrize("optimize", [True, False])
def test_a_bias_in_single_precision_beside_sums_of_31_bits(optimize: bool) -> None:
    generator = np.random.default_rng(5)
    outputs, depth = 4000, 2
    weights = generator.integers(-32768, 32768, (outputs, depth)) // 2
    bias = generator.integers(-(1 << 29), 1 << 29, outputs).astype(np.float32)
    program = matrix_program(
        Requantize.F32BIAS,
        weights,
        activation=INT16,
        weight=INT16,
        bias=bias.astype(np.int64),
        multiplier=generator.integers(1 << 23, 1 << 24, outputs),
        shift=generator.integers(32, 40, outputs),
    )
    codes = generator.integers(-32768, 32768, (3, depth)).astype(np.int16)
    assert_same(program, {"x": codes}, optimize)
    in_accumulator = replace(
        program.instructions[0],
        kernel=replace(program.instructions[0].kernel, requantize=Requantize.F32EVEN),
    )
    other = replace(program, instructions=(in_accumulator,))
    ours, theirs = (run_reference(p, {"x": codes})["y"] for p in (program, other))
    assert not np.array_equal(ours, theirs)  # the two rules do differ


@pytest.mark.parametrize("weight", [INT16, UINT16])
@pytest.mark.parametrize("activation", [INT8, UINT8, INT16, UINT16])
def test_products_with_16_bit_weights(activation: ElementType, weight: ElementType) -> None:
    generator = np.random.default_rng(2)
    middle = (sum(weight.limits) + 1) // 2
    program = matrix_program(
        Requantize.F32EVEN,
        generator.integers(-2000, 2000, (5, 3)) + middle,
        activation=activation,
        weight=weight,
        bias=generator.integers(-(1 << 20), 1 << 20, 5),
        multiplier=np.full(5, 3 << 22),
        shift=np.full(5, 36),
        input_zero_point=sum(activation.limits) // 2,
        weight_zero_point=middle,
    )
    shape, dtype = (200, 3), activation.dtype_name
    x = generator.integers(*activation.limits, shape, dtype, endpoint=True)
    for optimize in (True, False):
        assert_same(program, {"x": x}, optimize)


@pytest.mark.parametrize("weight", [INT8, UINT8])
@pytest.mark.parametrize("activation", [INT8, UINT8])
def test_extreme_codes_and_weights_do_not_saturate_a_product(
    activation: ElementType, weight: ElementType
) -> None:
    # A pair of such products exceeds 16 bits: the sum that x86's vpmaddubsw clips.
    depth = 64
    codes, weights = np.array(activation.limits), np.array(weight.limits)
    program = matrix_program(
        Requantize.F32EVEN,
        np.repeat(weights, depth).reshape(2, depth),
        activation=activation,
        weight=weight,
        bias=np.zeros(2),
        multiplier=np.full(2, 1 << 23),
        shift=np.full(2, 31),
    )
    x = np.repeat(codes, depth).reshape(2, depth).astype(activation.dtype_name)
    expected = np.rint(np.outer(codes, weights) * depth / 256)
    assert np.array_equal(run_onnxruntime(program, {"x": x})["y"], expected)
