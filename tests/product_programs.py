"""Programs of one or two products in a row, for tests of how products are planned and run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from small_programs import ORIGIN, grid, instruction

from intlower.compiler.constant import Constant
from intlower.compiler.program import Instruction, IntegerProgram, Tensor
from intlower.kernels.signature import ElementType


def constants_of(
    weights: NDArray[Any], bias: NDArray[Any], shift: int, minimum: int, maximum: int
) -> dict[str, Constant]:
    """Return the constants of a convolution with one scale, 3 * 2**(22 - shift), and one clamp."""
    outputs = len(weights)
    numbers = {
        "bias": bias,
        "multiplier": np.full(outputs, 3 << 22),
        "shift": np.full(outputs, shift),
        "minimum": np.full(outputs, minimum),
        "maximum": np.full(outputs, maximum),
    }
    return {
        "weights": Constant.of(weights.astype(np.int8)),
        **{name: Constant.of(values, np.int32) for name, values in numbers.items()},
    }


def convolution(
    name: str,
    source: str,
    target: str,
    constants: dict[str, Constant],
    *,
    kinds: str = "s8_s8c_s8",
    rule: str = "f32even",
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    input_zero_point: int = 0,
    output_zero_point: int = 0,
) -> Instruction:
    """Return a convolution of stride 1 without groups."""
    weight = grid(0.01, ElementType.INT8)
    return instruction(
        f"conv2d_{kinds}__{rule}",
        name,
        (source,),
        target,
        constants=constants,
        weight_grid=weight,
        strides=(1, 1),
        pads=pads,
        dilations=(1, 1),
        groups=1,
        input_zero_point=input_zero_point,
        weight_zero_point=0,
        output_zero_point=output_zero_point,
    )


def program_of(
    instructions: tuple[Instruction, ...],
    shapes: dict[str, tuple[int, ...]],
    elements: dict[str, ElementType],
) -> IntegerProgram:
    """Return a program from its instructions; the first tensor is the input, the last the output."""
    names = tuple(shapes)
    return IntegerProgram(
        target="test",
        inputs=names[:1],
        outputs=names[-1:],
        tensors={
            name: Tensor(name=name, shape=(1, *shape), grid=grid(0.1, elements[name]))
            for name, shape in shapes.items()
        },
        instructions=instructions,
        host=(),
        origin=ORIGIN,
    )
