from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from small_programs import classifier, grid

from intlower.compiler.constant import Constant
from intlower.compiler.errors import ArtifactError
from intlower.compiler.program import HostStep, Instruction, IntegerProgram, Tensor
from intlower.kernels.signature import ElementType

PROGRAM = classifier()
INT8 = ElementType.INT8


def with_tensor(key: str, **changes: Any) -> dict[str, Tensor]:
    return {**PROGRAM.tensors, key: replace(PROGRAM.tensors[key], **changes)}


def reordered(*order: int) -> tuple[Instruction, ...]:
    return tuple(PROGRAM.instructions[i] for i in order)


def test_parameters_and_operations_are_counted() -> None:
    conv, dense = 4 * 2 * 9, 3 * 4
    assert PROGRAM.parameters == conv + 4 + dense + 3
    assert PROGRAM.multiply_accumulates() == conv * 36 + dense
    assert classifier(batch=5).multiply_accumulates() == PROGRAM.multiply_accumulates()


IMPOSSIBLE: list[tuple[str, dict[str, Any]]] = [
    ("listed under another name", {"tensors": with_tensor("sum", name="total")}),
    ("impossible shape", {"tensors": with_tensor("image", shape=(None, 2, None, 6))}),
    ("impossible shape", {"tensors": with_tensor("image", shape=(0, 2, 6, 6))}),
    (
        "a grid of another shape",
        {"tensors": with_tensor("image", grid=grid([0.1, 0.1, 0.1], INT8, axis=1))},
    ),
    ("inputs are not tensors", {"inputs": ("image", "picture")}),
    ("inputs are not tensors", {"inputs": ("image", "image")}),
    ("not defined once and before", {"inputs": ()}),
    ("not defined once and before", {"instructions": reordered(1, 0, 2, 3, 4, 5)}),
    ("not defined once and before", {"instructions": reordered(0, 0, 1, 2, 3, 4, 5)}),
    ("not all computed", {"instructions": reordered(0, 1, 2, 3, 4)}),
    ("not all computed", {"outputs": ()}),
    ("not all computed", {"outputs": ("logits", "other")}),
    ("an output twice", {"outputs": ("logits", "logits")}),
    (
        "is not unique",
        {
            "instructions": (
                *PROGRAM.instructions[:5],
                replace(PROGRAM.instructions[5], name="conv"),
            )
        },
    ),
    (
        "weight grid does not fit",
        {
            "instructions": (
                replace(PROGRAM.instructions[0], weight_grid=grid([0.1] * 3, INT8, axis=0)),
                *PROGRAM.instructions[1:],
            )
        },
    ),
    (
        "weight grid does not fit",
        {
            "instructions": (
                replace(PROGRAM.instructions[0], weight_grid=grid(0.1, ElementType.UINT8)),
                *PROGRAM.instructions[1:],
            )
        },
    ),
    ("not known", {"host": (replace(PROGRAM.host[0], operator="Exp"),)}),
    ("not known", {"host": (replace(PROGRAM.host[0], input="flat"),)}),
    ("along axis 2", {"host": (replace(PROGRAM.host[0], axis=2),)}),
    ("have one name", {"host": (replace(PROGRAM.host[0], output="logits"),)}),
    ("have one name", {"host": PROGRAM.host * 2}),
]


@pytest.mark.parametrize(("message", "changes"), IMPOSSIBLE)
def test_a_program_that_breaks_a_rule_does_not_exist(
    message: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(ArtifactError, match=message):
        replace(PROGRAM, **changes)


def test_an_instruction_has_exactly_the_arguments_of_its_kernel() -> None:
    conv, pool = PROGRAM.instructions[:2]
    with pytest.raises(ArtifactError, match="takes constants"):
        replace(conv, constants={k: v for k, v in conv.constants.items() if k != "bias"})
    with pytest.raises(ArtifactError, match="takes constants"):
        replace(pool, attributes={**pool.attributes, "extra": 1})
    with pytest.raises(ArtifactError, match="weight grid belongs"):
        replace(conv, weight_grid=None)
    with pytest.raises(ArtifactError, match="weight grid belongs"):
        replace(pool, weight_grid=conv.weight_grid)


def test_arguments_are_kept_in_the_order_of_the_schema() -> None:
    conv = PROGRAM.instructions[0]
    shuffled = replace(
        conv,
        constants=dict(reversed(conv.constants.items())),
        attributes=dict(reversed(conv.attributes.items())),
    )
    assert tuple(shuffled.constants) == conv.kernel.schema.constants
    assert tuple(shuffled.attributes) == conv.kernel.schema.attributes


def test_a_program_cannot_be_changed_from_outside() -> None:
    tensors = dict(PROGRAM.tensors)
    program = replace(PROGRAM, tensors=tensors)
    tensors.clear()
    assert program == PROGRAM
    with pytest.raises(TypeError):
        program.tensors["x"] = PROGRAM.tensors["image"]  # type: ignore[index]
    with pytest.raises(ValueError, match="read-only"):
        program.instructions[0].constants["bias"].array[0] = 1


def test_programs_of_equal_parts_are_equal() -> None:
    assert classifier() == PROGRAM
    bias = Constant.of(np.zeros(4), np.int32)
    conv = PROGRAM.instructions[0]
    other = replace(conv, constants={**conv.constants, "bias": bias})
    assert replace(PROGRAM, instructions=(other, *PROGRAM.instructions[1:])) != PROGRAM


def test_a_host_step_may_count_its_axis_from_the_back() -> None:
    step = HostStep(operator="Softmax", input="logits", output="p", axis=-1)
    assert isinstance(replace(PROGRAM, host=(step,)), IntegerProgram)
