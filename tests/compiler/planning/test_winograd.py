from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from product_programs import constants_of, convolution, program_of

from intlower.compiler.constant import Constant
from intlower.compiler.execution import Execution
from intlower.compiler.plan import make_plan
from intlower.compiler.planning import winograd
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import run_reference
from intlower.kernels.isa import ISAS, available_isas
from intlower.kernels.signature import ElementType
from intlower.kernels.table import EDGE, OPCODE, WINOGRAD
from intlower.kernels.winograd_transforms import TRANSFORMS

# The instruction set whose 16-bit products are its quickest; in plain vector arithmetic where the machine lacks it.
AVX2 = ISAS["avx2"] if "avx2" in available_isas() else replace(ISAS["avx2"], native=False)


def network(
    channels: int,
    outputs: int,
    height: int,
    width: int,
    pads: tuple[int, int, int, int],
    zero_point: int,
    extreme: bool,
    seed: int,
    rule: str,
) -> IntegerProgram:
    generator = np.random.default_rng(seed)
    shape = (outputs, channels, 3, 3)
    weights = generator.choice([-128, 127], shape) if extreme else None
    if weights is None:
        weights = generator.integers(-128, 128, shape)
    bias = generator.integers(-(1 << 20), 1 << 20, outputs)
    top, left, bottom, right = pads
    return program_of(
        (
            convolution(
                "conv",
                "x",
                "y",
                constants_of(weights, bias, 33, -128, 127),
                rule=rule,
                pads=pads,
                input_zero_point=zero_point,
                output_zero_point=-3,
            ),
        ),
        {
            "x": (channels, height, width),
            "y": (outputs, height + top + bottom - 2, width + left + right - 2),
        },
        {"x": ElementType.INT8, "y": ElementType.INT8},
    )


@pytest.mark.parametrize("edge", TRANSFORMS)
@settings(deadline=None, max_examples=40)
@given(
    channels=st.integers(1, 40),
    outputs=st.integers(1, 40),
    height=st.integers(3, 13),
    width=st.integers(3, 13),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    zero_point=st.sampled_from([-128, -5, 0, 127]),
    extreme=st.booleans(),
    codes=st.sampled_from(["any", "ends", "low", "high"]),
    seed=st.integers(0, 2**32 - 1),
    threads=st.integers(1, 3),
    rule=st.sampled_from(["f32even", "mul31double", "f32bias"]),
)
def test_a_transformed_convolution_equals_the_oracle(
    edge: int,
    channels: int,
    outputs: int,
    height: int,
    width: int,
    pads: tuple[int, int, int, int],
    zero_point: int,
    extreme: bool,
    codes: str,
    seed: int,
    threads: int,
    rule: str,
) -> None:
    program = network(channels, outputs, height, width, pads, zero_point, extreme, seed, rule)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "TRANSFORMS", {edge: TRANSFORMS[edge]})
        patch.setattr(winograd, "_cost", lambda transform, columns: -1)
        plan = make_plan(program, AVX2, threads)
    rows = plan.table[plan.table[:, OPCODE] == WINOGRAD]
    assert rows[:, EDGE].tolist() == [edge]
    generator = np.random.default_rng(seed)
    shape = (1, channels, height, width)
    x = {
        "any": generator.integers(-128, 128, shape),
        "ends": generator.choice([-128, 127], shape),
        "low": np.full(shape, -128),
        "high": np.full(shape, 127),
    }[codes].astype(np.int8)
    actual = Execution(plan, work=1 << 40).run({"x": x})
    assert np.array_equal(actual["y"], run_reference(program, {"x": x})["y"])


def edges(program: IntegerProgram) -> list[int]:
    table = make_plan(program, AVX2).table
    return [int(row[EDGE]) for row in table if row[OPCODE] == WINOGRAD]


def sized(channels: int, outputs: int, side: int) -> IntegerProgram:
    return network(
        channels, outputs, side, side, (1, 1, 1, 1), 0, extreme=False, seed=1, rule="f32even"
    )


def test_large_tiles_are_chosen_where_they_pay() -> None:
    assert edges(sized(16, 16, 12)) == [4]


def test_sums_that_would_not_survive_their_factor_take_a_smaller_tile() -> None:
    """The product of 3x3 filters of 128, 224 channels and codes of 255 passes 2**25, not 2**29."""
    fits = network(224, 64, 8, 8, (1, 1, 1, 1), -128, extreme=False, seed=1, rule="f32even")
    assert edges(fits) == [4]
    convolution = fits.instructions[0]
    largest = np.full_like(convolution.constants["weights"].array, -128)
    constants = {**convolution.constants, "weights": Constant.of(largest)}
    assert edges(replace(fits, instructions=(replace(convolution, constants=constants),))) == [
        2
    ]
