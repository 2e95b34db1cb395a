"""Tables of functions as every format can hold them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.grids import uniform
from intlower.compiler.program import Instruction, IntegerProgram
from intlower.kernels.reference import reference_for


def whole_table(program: IntegerProgram, instruction: Instruction) -> NDArray[Any]:
    """Return an instruction's table with an entry for each code that its input's type stores, the least first.

    Between the entries of a table of `lookup_interpolated` the program interpolates; files that do not have every entry.

    Args:
        program: the program.
        instruction: `lookup`, `lookup_channels` or `lookup_interpolated` of it.

    Returns:
        Codes of the output, [codes]; [C, codes] where each channel has a table.
    """
    table = instruction.constants["table"].array
    if instruction.kernel.operator != "lookup_interpolated":
        return table
    source = uniform(program.tensors[instruction.inputs[0]].grid, instruction.inputs[0])
    least, greatest = source.element.limits
    every = np.arange(least, greatest + 1).astype(source.dtype)
    return np.asarray(reference_for(instruction.kernel)(every[None], table=table)[0])
