"""How a convolution or a matrix product is computed in C: the types that hold its numbers, and its scratch memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.export.c.elements import no_c_form
from intlower.compiler.planning.columns import number
from intlower.compiler.program import Instruction
from intlower.kernels.signature import ElementType

# Codes of a patch are a multiple of this, zeros behind: compilers make whole vectors of 16 int8 weights.
_LANES = 16

_INT32 = ElementType.INT32.limits


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductForm:
    """The form of one product; types are C's.

    Attributes:
        depthwise: each output channel reads the input channel of its own number, nothing else.
        code: type of an input code less its zero point.
        weight: type of a weight less its zero point, which depthwise products subtract.
        total: type of a sum of products, without the bias.
        bias: type of a bias.
        patch: number of codes that one output reads, with the zeros that fill it; depthwise products gather none, 0.
    """

    depthwise: bool
    code: str
    weight: str
    total: str
    bias: str
    patch: int


def images_weights(instruction: Instruction) -> NDArray[Any]:
    """Return weights as a convolution's, [O, C/groups, kh, kw]: a matrix product is one of an image of one pixel."""
    weights = instruction.constants["weights"].array
    return weights if weights.ndim == 4 else weights[:, :, None, None]


def product_form(instruction: Instruction) -> ProductForm:
    """Return the form in which no sum and no product overflows, whatever the input codes are.

    Raises:
        NoCForm: codes or weights are of a type that C kernels do not multiply.
    """
    key, attributes = instruction.kernel, instruction.attributes
    assert key.weight is not None  # the schema of weighted kernels proves it
    for element in (key.activation, key.weight):
        if element.value not in ("s8", "u8", "s16", "u16"):
            raise no_c_form(instruction, f"codes of type {element.dtype_name}")
    weights = images_weights(instruction).astype(np.int64)
    outputs, depth, height, width = weights.shape
    groups = number(attributes["groups"]) if key.operator == "conv2d" else 1
    depthwise = depth == 1 and groups == outputs
    zero_point, weight_zero_point = (
        number(attributes[name]) for name in ("input_zero_point", "weight_zero_point")
    )
    codes = [limit - zero_point for limit in key.activation.limits]
    # Depthwise sums are of weights less their zero point; others are of their codes, and corrected.
    factors = weights - weight_zero_point if depthwise else weights
    magnitudes = np.abs(factors).reshape(outputs, -1).sum(axis=1)
    reach = int(magnitudes.max()) * max(map(abs, codes))
    return ProductForm(
        depthwise=depthwise,
        code=_narrowest(codes),
        weight=_narrowest([limit - weight_zero_point for limit in key.weight.limits]),
        total="int32_t" if reach <= _INT32[1] else "int64_t",
        bias=bias_type(instruction.constants["bias"].array),
        patch=0 if depthwise else -(-depth * height * width // _LANES) * _LANES,
    )


def scratch_numbers(instruction: Instruction) -> tuple[int, int] | None:
    """Return (bytes of a number, count) of the scratch memory that an instruction takes; None where it takes none."""
    if instruction.kernel.operator not in ("conv2d", "gemm"):
        return None
    form = product_form(instruction)
    # Two patches: two output pixels are computed together.
    return (2 if form.code == "int16_t" else 4, 2 * form.patch) if form.patch else None


def _narrowest(differences: Sequence[int]) -> str:
    low, high = ElementType.INT16.limits
    return "int16_t" if low <= min(differences) and max(differences) <= high else "int32_t"


def bias_type(bias: NDArray[Any]) -> str:
    """Return the C type that holds every bias."""
    return "int32_t" if _INT32[0] <= bias.min() and bias.max() <= _INT32[1] else "int64_t"
