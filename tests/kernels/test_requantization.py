"""The compiled rules against `numerics`, over all int32 accumulators: by matrix products with weights of zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from program_builder import ORIGIN, grid_of

from intlower.compiler.constant import Constant
from intlower.compiler.plan import make_plan
from intlower.compiler.program import Instruction, IntegerProgram, Tensor
from intlower.compiler.simulator import Simulator, run_reference
from intlower.kernels.isa import ISAS, available_isas
from intlower.kernels.signature import ElementType, KernelKey, Requantize

COUNT = 600


def ties(generator: np.random.Generator, shift: Any, multiplier: Any) -> Any:
    """Return accumulators whose scaled value lies at or beside a half, where one exists."""
    halves = generator.integers(-300, 300, shift.size) * 2 + 1
    exact = halves * np.ldexp(1.0, shift - 1) / np.maximum(multiplier, 1)
    limit = float((1 << 31) - 1)
    return np.rint(np.clip(exact, -limit, limit)).astype(np.int64) + generator.integers(
        -1, 2, shift.size
    )


def requantizing(rule: Requantize, seed: int, tied: bool) -> IntegerProgram:
    """Return a product of [1] with zeros whose biases are the accumulators."""
    generator = np.random.default_rng(seed)
    bits = 24 if rule.single_precision else 31
    multiplier = generator.integers(1 << (bits - 1), 1 << bits, COUNT)
    special = generator.random(COUNT)
    multiplier[special < 0.3] = 1 << (bits - 1)
    multiplier[special < 0.2] = (1 << bits) - 1
    multiplier[special < 0.1] = 0
    shift = generator.integers(1, 63, COUNT)
    size = generator.integers(0, 32, COUNT)
    accumulator = generator.integers(-(1 << 31), (1 << 31), COUNT) >> size
    if tied:
        multiplier = np.where(generator.random(COUNT) < 0.7, 1 << (bits - 1), multiplier)
        accumulator = ties(generator, shift, multiplier)
    accumulator = np.clip(accumulator, 1 - (1 << 31), (1 << 31) - 1)
    if rule.power_of_two:
        multiplier = np.int64(1) << generator.integers(0, 31, COUNT)
        shift = np.where(generator.random(COUNT) < 0.1, 0, shift)
        if tied:
            multiplier = np.ones(COUNT, np.int64)
            accumulator = ties(generator, np.maximum(shift, 1), multiplier)
            accumulator = np.clip(accumulator, 1 - (1 << 31), (1 << 31) - 1)
    if rule is Requantize.F32BIAS:
        accumulator = (
            np.clip(accumulator, -(1 << 30), 1 << 30).astype(np.float32).astype(np.int64)
        )
    if rule is Requantize.MUL31DOUBLE:
        limit = ((1 << 31) - 1) >> np.maximum(31 - shift, 0)
        accumulator = np.clip(accumulator, -limit, limit)
    output = [ElementType.INT8, ElementType.UINT8, ElementType.INT16][seed % 3]
    low, high = output.limits
    zero_point = int(generator.integers(low, high, endpoint=True))
    element = ElementType.INT8
    tensors = {
        name: Tensor(name=name, shape=(None, size), grid=grid_of(kind))
        for name, size, kind in (("x", 1, element), ("y", COUNT, output))
    }
    instruction = Instruction(
        name="product",
        kernel=KernelKey(
            operator="gemm",
            activation=element,
            weight=element,
            per_channel=True,
            output=output,
            requantize=rule,
        ),
        inputs=("x",),
        output="y",
        constants={
            "weights": Constant.of(np.zeros((COUNT, 1)), np.int8),
            "bias": Constant.of(accumulator, np.int32),
            "multiplier": Constant.of(multiplier, np.int32),
            "shift": Constant.of(shift, np.int32),
            "minimum": Constant.of(np.full(COUNT, low), np.int32),
            "maximum": Constant.of(np.full(COUNT, high), np.int32),
        },
        attributes={
            "input_zero_point": 0,
            "weight_zero_point": 0,
            "output_zero_point": zero_point,
        },
        weight_grid=grid_of(element),
    )
    return IntegerProgram(
        target="random",
        inputs=("x",),
        outputs=("y",),
        tensors=tensors,
        instructions=(instruction,),
        origin=ORIGIN,
    )


@pytest.mark.parametrize("rule", list(Requantize))
@pytest.mark.parametrize("isa", available_isas())
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1 << 32), tied=st.booleans())
@example(seed=0, tied=True)
@example(seed=1, tied=False)
def test_a_compiled_rule_gives_the_codes_of_its_equation(
    isa: str, rule: Requantize, seed: int, tied: bool
) -> None:
    program = requantizing(rule, seed, tied)
    codes = {"x": np.zeros((1, 1), np.int8)}
    result = Simulator(program, make_plan(program, ISAS[isa])).run(codes)
    assert np.array_equal(result["y"], run_reference(program, codes)["y"])
