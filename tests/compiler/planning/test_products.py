from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from product_programs import constants_of, convolution, program_of

from intlower.compiler.execution import Execution
from intlower.compiler.plan import make_plan
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import run_reference
from intlower.kernels.isa import ISAS, available_isas
from intlower.kernels.signature import ElementType
from intlower.kernels.table import DENSE, DENSE_BYTES, INTERLEAVE, OPCODE

# The instruction set that sums bytes through 16 bits; in plain vector arithmetic where the machine lacks it.
AVX2 = ISAS["avx2"] if "avx2" in available_isas() else replace(ISAS["avx2"], native=False)
SIDE = 4


def network(
    channels: int, middle: int, clamp: tuple[int, int], kernel: int, kind: str, seed: int
) -> IntegerProgram:
    """Return a convolution that clamps, and one that reads what it lets through."""
    generator = np.random.default_rng(seed)
    shape = (channels, middle, kernel, kernel)
    weights = {
        "any": generator.integers(-128, 128, shape),
        "low": np.full(shape, -128),
        "high": np.full(shape, 127),
        "ends": generator.choice([-128, 127], shape),
        "bell": generator.normal(0, 25, shape).round().clip(-127, 127),
    }[kind]
    first = constants_of(
        generator.integers(-128, 128, (middle, 1, 1, 1)), np.zeros(middle, int), 23, *clamp
    )
    bias = generator.integers(-1000, 1000, channels)
    side = SIDE - kernel + 3
    return program_of(
        (
            convolution("first", "x", "middle", first, output_zero_point=clamp[0]),
            convolution(
                "second",
                "middle",
                "y",
                constants_of(weights, bias, 33, -128, 127),
                pads=(1, 1, 1, 1),
                input_zero_point=clamp[0],
            ),
        ),
        {"x": (1, SIDE, SIDE), "middle": (middle, SIDE, SIDE), "y": (channels, side, side)},
        dict.fromkeys(("x", "middle", "y"), ElementType.INT8),
    )


@settings(deadline=None, max_examples=60)
@given(
    channels=st.integers(1, 40),
    middle=st.integers(1, 40),
    clamp=st.sampled_from([(0, 127), (-128, 127), (-128, -1), (3, 9), (-100, 100), (5, 5)]),
    kernel=st.sampled_from([1, 2]),
    kind=st.sampled_from(["any", "low", "high", "ends", "bell"]),
    seed=st.integers(0, 2**32 - 1),
    end=st.sampled_from([-128, 127, None]),
    threads=st.integers(1, 3),
)
def test_a_product_of_proved_bytes_equals_the_oracle(
    channels: int,
    middle: int,
    clamp: tuple[int, int],
    kernel: int,
    kind: str,
    seed: int,
    end: int | None,
    threads: int,
) -> None:
    """The first convolution drives its outputs to both ends of the clamp, whatever the clamp is."""
    program = network(channels, middle, clamp, kernel, kind, seed)
    x = np.random.default_rng(seed).integers(-128, 128, (1, 1, SIDE, SIDE))
    codes = {"x": (x if end is None else np.full_like(x, end)).astype(np.int8)}
    plan = make_plan(program, AVX2, threads)
    actual = Execution(plan, work=1 << 40).run(codes)
    assert np.array_equal(actual["y"], run_reference(program, codes)["y"])


def opcodes(program: IntegerProgram) -> list[int]:
    table = make_plan(program, AVX2).table
    return [int(row[OPCODE]) for row in table if row[OPCODE] in (DENSE, DENSE_BYTES)]


def test_bytes_are_chosen_by_what_the_producer_lets_through() -> None:
    """Operands of 7 bits are exact with any weights; those of 8 with weights of a full range would be split."""
    half = network(32, 32, (0, 127), 1, "any", 1)
    assert opcodes(half)[1] == DENSE_BYTES
    whole = network(32, 32, (-128, 127), 1, "any", 1)
    assert opcodes(whole)[1] == DENSE


def test_what_a_caller_gives_proves_nothing() -> None:
    """The same product on the program's input, where any code may come."""
    both = network(32, 32, (0, 127), 1, "any", 1)
    second = replace(both.instructions[1], inputs=("x",))
    tensors = {
        "x": replace(both.tensors["middle"], name="x"),
        "y": both.tensors["y"],
    }
    program = replace(both, instructions=(second,), tensors=tensors)
    assert opcodes(program) == [DENSE]


@settings(deadline=None, max_examples=30)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 20),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_an_image_of_three_planes_equals_the_oracle(
    height: int, width: int, threads: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    weights = generator.integers(-128, 128, (5, 3, 1, 1))
    constants = constants_of(weights, np.zeros(5, int), 31, -128, 127)
    shapes = {"x": (3, height, width), "y": (5, height, width)}
    program = program_of(
        (convolution("conv", "x", "y", constants),),
        shapes,
        dict.fromkeys(shapes, ElementType.INT8),
    )
    plan = make_plan(program, AVX2, threads)
    assert (INTERLEAVE in plan.table[:, OPCODE]) == (height * width > 1)
    codes = {"x": generator.integers(-128, 128, (1, 3, height, width)).astype(np.int8)}
    actual = Execution(plan, work=1 << 40).run(codes)
    assert np.array_equal(actual["y"], run_reference(program, codes)["y"])
