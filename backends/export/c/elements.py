"""C types of codes, and the error for what has no C form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.export.c.rules import RULES, CRule
from intlower.compiler.errors import ExportError
from intlower.compiler.program import Instruction, Tensor
from intlower.kernels.signature import ElementType

# Codes that are stored as integers and used as such. Another element type has no C form.
_C_TYPES = {
    ElementType.INT8: "int8_t",
    ElementType.UINT8: "uint8_t",
    ElementType.INT16: "int16_t",
    ElementType.UINT16: "uint16_t",
    ElementType.INT32: "int32_t",
}


class NoCForm(ExportError):
    """An instruction or a tensor that the C export cannot write."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"{where} has no C form: {reason}",
            "choose another export, or a target whose arithmetic it covers",
        )


def no_c_form(instruction: Instruction, reason: str) -> NoCForm:
    """Return the error for an instruction."""
    return NoCForm(f"{instruction.name} ({instruction.kernel})", reason)


def c_type(element: ElementType) -> str:
    """Return the C type of codes that `check_element` has admitted."""
    return _C_TYPES[element]


def check_element(where: str, element: ElementType) -> None:
    """Prove that an element type has a C form.

    Raises:
        NoCForm: it has none.
    """
    if element not in _C_TYPES:
        raise NoCForm(where, f"codes of type {element.dtype_name}")


def rule_of(instruction: Instruction) -> CRule:
    """Return the C functions of an instruction's requantization.

    Raises:
        NoCForm: the rule has none.
    """
    requantize = instruction.kernel.requantize
    assert requantize is not None  # the schema of requantizing kernels proves it
    if requantize not in RULES:
        raise no_c_form(instruction, f"the rule {requantize.value}")
    return RULES[requantize]


def require_int32(instruction: Instruction, bound: NDArray[Any] | int) -> None:
    """Prove that sums of a bounded magnitude fit the int32_t in which the C kernels keep them.

    Raises:
        NoCForm: they may not.
    """
    reach = int(np.max(bound))
    if reach > ElementType.INT32.limits[1]:
        raise no_c_form(instruction, f"its sums may reach {reach:_}, past int32_t")


def sizes_of(tensor: Tensor) -> tuple[int, ...]:
    """Return the shape of one sample, as the program has it."""
    return tuple(size for size in tensor.shape[1:] if size is not None)


def count_of(tensor: Tensor) -> int:
    """Return the number of codes of one sample."""
    return math.prod(sizes_of(tensor))
