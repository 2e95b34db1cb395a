from __future__ import annotations

import numpy as np
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from program_builder import ORIGIN, grid_of

from intlower.compiler.constant import Constant
from intlower.compiler.plan import make_plan
from intlower.compiler.planning.layout import ALIGNMENT
from intlower.compiler.program import Instruction, IntegerProgram, Tensor
from intlower.compiler.simulator import open_program, run_reference
from intlower.kernels import table as t
from intlower.kernels.isa import host_isa
from intlower.kernels.signature import ElementType, KernelKey, Requantize

tried = settings(deadline=None, max_examples=40)


@tried
@given(strategies.programs())
def test_every_operand_lies_inside_its_arena(program: IntegerProgram) -> None:
    plan = make_plan(program, host_isa())
    tensors = plan.table[plan.table[:, t.OPCODE] != t.COPY]
    for column in (t.INPUT, t.SECOND_INPUT, t.OUTPUT):
        assert (tensors[:, column] >= 0).all()
        assert (tensors[:, column] < max(plan.peak_bytes, 1)).all()
    for column in (t.WEIGHTS, t.BIAS, t.SCALE, t.MULTIPLIER, t.SHIFT, t.TABLE, t.TAPS):
        # These hold their one multiplier and shift in the row itself.
        single = column in (t.MULTIPLIER, t.SHIFT)
        inline = np.isin(plan.table[:, t.OPCODE], (t.NORMALIZE, t.LRN, t.DIVIDE, t.CONVERT))
        offsets = plan.table[~(inline & single), column]
        assert (offsets >= 0).all()
        assert (offsets < plan.constants.size).all()
    for port in (*plan.inputs, *plan.outputs):
        assert plan.peak_bytes <= port.offset
        assert port.offset + port.size <= plan.arena_bytes


@tried
@given(strategies.programs())
def test_buffers_and_constants_are_aligned(program: IntegerProgram) -> None:
    plan = make_plan(program, host_isa())
    assert plan.constants.ctypes.data % ALIGNMENT == 0
    assert plan.peak_bytes % ALIGNMENT == 0
    assert plan.scratch_bytes % ALIGNMENT == 0


def requantizing_chain(length: int, element: ElementType, size: int) -> IntegerProgram:
    names = [f"t{i}" for i in range(length + 1)]
    key = KernelKey(
        operator="requantize",
        activation=element,
        output=element,
        requantize=Requantize.MUL31SINGLE,
    )
    attributes = {
        "multiplier": 1 << 30,
        "shift": 30,
        "input_zero_point": 0,
        "output_zero_point": 0,
        "minimum": element.limits[0],
        "maximum": element.limits[1],
    }
    return IntegerProgram(
        target="chain",
        inputs=(names[0],),
        outputs=(names[-1],),
        tensors={
            name: Tensor(name=name, shape=(None, size), grid=grid_of(element)) for name in names
        },
        instructions=tuple(
            Instruction(
                name=f"step_{i}",
                kernel=key,
                inputs=(names[i],),
                output=names[i + 1],
                attributes=attributes,
            )
            for i in range(length)
        ),
        origin=ORIGIN,
    )


def test_a_chain_needs_the_memory_of_two_tensors() -> None:
    plan = make_plan(requantizing_chain(9, ElementType.INT8, 640), host_isa())
    assert plan.total_bytes == 10 * 640
    assert plan.peak_bytes == 2 * 640


def test_keeping_all_tensors_overlaps_none() -> None:
    program = requantizing_chain(9, ElementType.INT8, 640)
    plan = make_plan(program, host_isa(), keep_all=True)
    assert plan.peak_bytes == plan.total_bytes
    assert {port.name for port in plan.outputs} == set(program.tensors)


def test_codes_of_32_bits_are_moved() -> None:
    element = ElementType.INT32
    grid = grid_of(element)
    instruction = Instruction(
        name="flatten",
        kernel=KernelKey(operator="reshape", activation=element, output=element),
        inputs=("x",),
        output="y",
        attributes={"shape": (0, 6)},
    )
    program = IntegerProgram(
        target="wide",
        inputs=("x",),
        outputs=("y",),
        tensors={
            "x": Tensor(name="x", shape=(None, 2, 3), grid=grid),
            "y": Tensor(name="y", shape=(None, 6), grid=grid),
        },
        instructions=(instruction,),
        origin=ORIGIN,
    )
    low, high = element.limits
    codes = np.array([[[low, -1, 0], [1, 7, high]]], np.int32)
    result = open_program(program).run({"x": codes})["y"]
    assert np.array_equal(result, codes.reshape(1, 6))


def weighted(weight: int, zero_point: int) -> IntegerProgram:
    element = ElementType.UINT16
    instruction = Instruction(
        name="product",
        kernel=KernelKey(
            operator="gemm",
            activation=ElementType.UINT8,
            weight=element,
            output=ElementType.UINT8,
            requantize=Requantize.MUL31SINGLE,
        ),
        inputs=("x",),
        output="y",
        constants={
            "weights": Constant.of([[weight]], np.uint16),
            **{
                name: Constant.of([value], np.int32)
                for name, value in {
                    "bias": 0,
                    "multiplier": 1 << 30,
                    "shift": 40,
                    "minimum": 0,
                    "maximum": 255,
                }.items()
            },
        },
        attributes={
            "input_zero_point": 0,
            "weight_zero_point": zero_point,
            "output_zero_point": 0,
        },
        weight_grid=grid_of(element),
    )
    grid = grid_of(ElementType.UINT8)
    return IntegerProgram(
        target="product",
        inputs=("x",),
        outputs=("y",),
        tensors={name: Tensor(name=name, shape=(None, 1), grid=grid) for name in ("x", "y")},
        instructions=(instruction,),
        origin=ORIGIN,
    )


@settings(deadline=None, max_examples=10)
@given(st.integers(1 << 15, (1 << 16) - 1))
def test_weights_past_16_bits_run_in_64_bits(weight: int) -> None:
    program = weighted(weight, 0)
    codes = {"x": np.arange(256, dtype=np.uint8).reshape(256, 1)}
    result = open_program(program).run(codes)["y"]
    assert np.array_equal(result, run_reference(program, codes)["y"])
