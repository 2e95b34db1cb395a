"""What an operator of the integer program takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSchema:
    """The arguments of one integer operator, in calling order: tensors, constants, attributes.

    Attributes:
        inputs: number of tensor inputs; None means one or more.
        constants: names of the constant arrays.
        attributes: names of the integer attributes.
        weighted: whether the kernel name carries a weight type.
        requantized: whether the kernel name carries a requantization and an output type.
        converts: whether it carries an output type without a requantization, which its constants state.
        half: whether the kernel name carries a half-precision rule.
        minifloat: whether the kernel name carries a layout of minifloats.
        moves_floats: whether float16 codes may go through it, although it is no half-precision operator.
    """

    inputs: int | None = 1
    constants: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    weighted: bool = False
    requantized: bool = False
    half: bool = False
    minifloat: bool = False
    converts: bool = False
    moves_floats: bool = False
