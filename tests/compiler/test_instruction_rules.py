from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_programs import classifier, grid, instruction
from strategies import draw_codes

from intlower.compiler.constant import Constant
from intlower.compiler.errors import ArtifactError
from intlower.compiler.instruction_checker import LARGEST_TENSOR
from intlower.compiler.instruction_rules import check_instruction
from intlower.compiler.program import IntegerProgram, Tensor
from intlower.compiler.simulator import open_program, run_reference
from intlower.kernels.signature import ElementType, KernelKey

PROGRAM = classifier()
INT8 = ElementType.INT8
INT32_MAX = (1 << 31) - 1


def altered(
    position: int,
    attributes: dict[str, Any] | None = None,
    constants: dict[str, Constant] | None = None,
) -> IntegerProgram:
    """The program with other arguments of one instruction."""
    old = PROGRAM.instructions[position]
    new = replace(
        old,
        attributes={**old.attributes, **(attributes or {})},
        constants={**old.constants, **(constants or {})},
    )
    instructions = list(PROGRAM.instructions)
    instructions[position] = new
    return replace(PROGRAM, instructions=tuple(instructions))


WIDE = (8, 16, 24, 28, 30, 31, 62, 63, 70)
numbers = st.one_of(
    st.integers(-3, 40),
    st.builds(
        lambda bits, sign, more: sign * (1 << bits) + more,
        st.sampled_from(WIDE),
        st.sampled_from([1, -1]),
        st.sampled_from([-1, 0, 1]),
    ),
    st.sampled_from([-129, -128, 127, 128]),
)


@st.composite
def mutations(draw: st.DrawFn) -> tuple[int, dict[str, Any], dict[str, Constant]]:
    """One number of one instruction, an attribute's or a constant's, is replaced."""
    position = draw(st.integers(0, len(PROGRAM.instructions) - 1))
    chosen = PROGRAM.instructions[position]
    name = draw(st.sampled_from([*chosen.attributes, *chosen.constants]))
    number = draw(numbers)
    if name in chosen.attributes:
        value = chosen.attributes[name]
        if isinstance(value, int):
            return position, {name: number}, {}
        index = draw(st.integers(0, len(value) - 1))
        changed: Any = (*value[:index], number, *value[index + 1 :])
        if draw(st.integers(0, 5)) == 0:
            changed = draw(st.sampled_from([value[:-1], (*value, 1), number, ()]))
        return position, {name: changed}, {}
    array = chosen.constants[name].array
    if draw(st.integers(0, 5)) == 0:
        wrong = [
            array.astype(np.int64),
            array[:-1],
            array[None],
            array[:0],
            array.astype(np.float32),
        ]
        return position, {}, {name: Constant.of(draw(st.sampled_from(wrong)))}
    limits = np.iinfo(array.dtype)
    mutated = array.copy()
    mutated.flat[draw(st.integers(0, array.size - 1))] = min(
        max(number, limits.min), limits.max
    )
    return position, {}, {name: Constant.of(mutated)}


@given(mutation=mutations(), seed=st.integers(0, 99), mode=st.integers(0, 3))
@settings(deadline=None, max_examples=200)
def test_a_wrong_number_is_refused_or_all_engines_agree_on_it(
    mutation: tuple[int, dict[str, Any], dict[str, Constant]], seed: int, mode: int
) -> None:
    try:
        program = altered(*mutation)
    except ArtifactError:
        return
    codes = draw_codes(program, seed, mode)
    expected = run_reference(program, codes)
    actual = open_program(program).run(codes)
    for name in program.outputs:
        assert np.array_equal(actual[name], expected[name])


def per_channel(name: str, value: int, dtype: str = "int32") -> dict[str, Constant]:
    array = PROGRAM.instructions[0].constants[name].array.copy()
    array[2] = value
    return {name: Constant.of(array, dtype)}


CONV, MAX_POOL, ADD, MEAN, RESHAPE = range(5)
BROKEN: list[tuple[int, dict[str, Any], dict[str, Constant], str]] = [
    (CONV, {"strides": (0, 1)}, {}, "strides"),
    (CONV, {"strides": (1, 1, 1)}, {}, "strides"),
    (CONV, {"strides": 1}, {}, "strides"),
    (CONV, {"pads": (1, 1, 1, -1)}, {}, "pads"),
    (CONV, {"pads": (1, 1, 1, 2)}, {}, "computes"),
    (CONV, {"pads": (1, 1, 1 << 27, 1), "strides": (1 << 28, 1)}, {}, "larger tensor"),
    (CONV, {"groups": 3}, {}, "groups"),
    (CONV, {"dilations": (9, 1)}, {}, "does not fit"),
    (CONV, {"input_zero_point": 128}, {}, "input_zero_point"),
    (CONV, {"weight_zero_point": -129}, {}, "weight_zero_point"),
    (CONV, {}, per_channel("multiplier", 1 << 24), "multiplier"),
    (CONV, {}, per_channel("multiplier", -1), "multiplier"),
    (CONV, {}, per_channel("shift", 0), "shift"),
    (CONV, {}, per_channel("shift", 63), "shift"),
    (CONV, {}, per_channel("shift", 5, "int64"), "shift is int64"),
    (CONV, {}, per_channel("minimum", 128), "minimum"),
    (CONV, {}, per_channel("maximum", -129), "maximum"),
    (CONV, {}, {**per_channel("minimum", 5), **per_channel("maximum", 4)}, "clamp"),
    (CONV, {}, per_channel("bias", INT32_MAX), "past int32"),
    (CONV, {}, {"weights": Constant.of(np.zeros((4, 2)), np.int8)}, "rank"),
    (MAX_POOL, {"kernel_shape": (7, 1)}, {}, "does not fit"),
    (MAX_POOL, {"pads": (2, 0, 0, 0)}, {}, "not smaller than the window"),
    (ADD, {"left_shift": 1}, {}, "left_shift"),
    (ADD, {"shift": (24, 39)}, {}, "further apart"),
    (ADD, {"multiplier": (1, 1, 1)}, {}, "multiplier"),
    (ADD, {"minimum": 3, "maximum": 2}, {}, "maximum"),
    (MEAN, {"kernel_shape": (3, 4)}, {}, "does not fit"),
    (MEAN, {}, {"multiplier": Constant.of(np.ones((2, 1)), np.int32)}, "multiplier"),
    (RESHAPE, {"shape": (0, 5)}, {}, "reshapes"),
    (RESHAPE, {"shape": (4, 0)}, {}, "begin with 0"),
    (RESHAPE, {"shape": (0, 2, 2)}, {}, "computes"),
]


@pytest.mark.parametrize(("position", "attributes", "constants", "message"), BROKEN)
def test_each_rule_is_enforced(
    position: int, attributes: dict[str, Any], constants: dict[str, Constant], message: str
) -> None:
    with pytest.raises(ArtifactError, match=message):
        altered(position, attributes, constants)


def check(
    kernel: str,
    inputs: list[tuple[int | None, ...]],
    output: tuple[int | None, ...],
    *,
    constants: dict[str, Any] | None = None,
    **attributes: Any,
) -> None:
    key = KernelKey.parse(kernel)
    check_instruction(
        "it",
        key,
        inputs,
        [key.activation] * len(inputs),
        output,
        key.output,
        constants or {},
        attributes,
    )


X = (None, 2, 4, 4)
REQUANTIZE = {
    "multiplier": 1 << 30,
    "shift": 31,
    "input_zero_point": 0,
    "output_zero_point": 0,
    "minimum": -128,
    "maximum": 127,
}
SUM = {
    "multiplier": (1 << 30,) * 3,
    "shift": (31, 31, 51),
    "left_shift": 20,
    "input_zero_points": (0, 0),
    "output_zero_point": 0,
    "minimum": -128,
    "maximum": 127,
}
VALID: list[tuple[str, int, tuple[int | None, ...], dict[str, Any]]] = [
    ("requantize_s8_s8__mul31double", 1, X, REQUANTIZE),
    ("add_s8_s8__mul31double", 2, X, SUM),
    ("concat_s8", 2, (None, 4, 4, 4), {"axis": 1}),
    ("pad_s8", 1, (None, 2, 5, 4), {"pads": (0, 0, 1, 0, 0, 0, 0, 0), "value": 3}),
    (
        "slice_s8",
        1,
        (None, 2, 2, 4),
        {"starts": (0,), "ends": (4,), "axes": (2,), "steps": (2,)},
    ),
    (
        "softmax_s8",
        1,
        X,
        {"axis": 1, "maximum": 127, "constants": {"table": np.ones(256, np.int32)}},
    ),
]


@pytest.mark.parametrize(("kernel", "count", "output", "arguments"), VALID)
def test_valid_instructions_pass(
    kernel: str, count: int, output: tuple[int | None, ...], arguments: dict[str, Any]
) -> None:
    check(kernel, [X] * count, output, **arguments)
    with pytest.raises(ArtifactError, match="computes"):
        check(kernel, [X] * count, (*output[:3], 99), **arguments)
    with pytest.raises(ArtifactError, match="takes"):
        check(kernel, [], output, **arguments)


@pytest.mark.parametrize(
    ("index", "changes", "message"),
    [
        (0, {"multiplier": 1 << 31}, "multiplier"),
        (0, {"shift": 5}, "shifted left"),
        (0, {"minimum": True, "maximum": "x"}, "maximum"),
        (1, {"shift": (30, 31, 51)}, "shift"),
        (1, {"left_shift": 21}, "left_shift"),
        (2, {"axis": 0}, "axis"),
        (2, {"axis": 4}, "axis"),
        (3, {"pads": (1, 0, 1, 0, 0, 0, 0, 0)}, "pads the batch"),
        (3, {"value": 128}, "value"),
        (4, {"axes": (0,)}, "axes"),
        (4, {"steps": (0,)}, "step of 0"),
        (4, {"starts": (4,)}, "nothing is left"),
        (4, {"starts": (0, 0), "ends": (4, 4), "axes": (2, 2), "steps": (1, 1)}, "twice"),
        (5, {"maximum": 0}, "maximum"),
        (5, {"constants": {"table": np.ones(255, np.int32)}}, "table"),
        (5, {"constants": {"table": np.zeros(256, np.int32)}}, "first entry"),
    ],
)
def test_wrong_arguments_are_refused(index: int, changes: dict[str, Any], message: str) -> None:
    kernel, count, output, arguments = VALID[index]
    with pytest.raises(ArtifactError, match=message):
        check(kernel, [X] * count, output, **{**arguments, **changes})


def test_wide_codes_cannot_be_shifted_as_far_before_a_sum() -> None:
    arguments = {**SUM, "minimum": -(1 << 15), "maximum": (1 << 15) - 1}
    with pytest.raises(ArtifactError, match="left_shift"):
        check("add_s16_s16__mul31double", [X, X], X, **arguments)
    check("add_s16_s16__mul31double", [X, X], X, **{**arguments, "left_shift": 13})


def test_tensors_have_the_types_of_the_kernel_and_a_sane_size() -> None:
    key = KernelKey.parse("requantize_s8_s8__mul31double")
    uint8 = ElementType.UINT8
    for elements, output in (([uint8], INT8), ([INT8], uint8)):
        with pytest.raises(ArtifactError, match="not int8"):
            check_instruction("it", key, [X], elements, X, output, {}, REQUANTIZE)
    huge = (None, LARGEST_TENSOR + 1)
    with pytest.raises(ArtifactError, match="larger than is allowed"):
        check("requantize_s8_s8__mul31double", [huge], huge, **REQUANTIZE)


def test_a_message_names_the_instruction_and_its_kernel() -> None:
    wrong = instruction("concat_s8", "join", ("x",), "y", axis=7)
    tensors = {name: Tensor(name=name, shape=X, grid=grid(0.1, INT8)) for name in ("x", "y")}
    with pytest.raises(ArtifactError, match=r"join \(concat_s8\): axis is 7"):
        IntegerProgram(
            target="t",
            inputs=("x",),
            outputs=("y",),
            tensors=tensors,
            instructions=(wrong,),
            origin=PROGRAM.origin,
        )
