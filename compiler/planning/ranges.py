"""Which codes a tensor can hold, proved from what produces it."""

from __future__ import annotations

from collections.abc import Mapping

from intlower.compiler.planning.columns import number, numbers
from intlower.compiler.program import Instruction, IntegerProgram
from intlower.kernels.signature import ElementType

# What hands codes on as they are.
_MOVES = frozenset({"reshape", "slice", "concat"})
_CLAMPED = frozenset({"add", "average_pool"})
_CLAMPED_BY_CHANNEL = frozenset({"conv2d", "gemm"})

Range = tuple[int, int]


def code_ranges(program: IntegerProgram) -> Mapping[str, Range]:
    """Return the least and the greatest code of every tensor of integers.

    What a caller gives may hold any code of its type, and so may whatever an operator not named here produces. The
    others clamp, or hand on what they were given.
    """
    ranges = {
        name: tensor.grid.element.limits
        for name, tensor in program.tensors.items()
        if tensor.grid.element is not ElementType.FLOAT16
    }
    for instruction in program.instructions:
        produced = _produced(program, instruction, ranges)
        if produced is not None:
            ranges[instruction.output] = produced
    return ranges


def _produced(
    program: IntegerProgram, instruction: Instruction, ranges: Mapping[str, Range]
) -> Range | None:
    """Return the range of an instruction's output; None where it may be any."""
    operator, attributes = instruction.kernel.operator, instruction.attributes
    if operator in _CLAMPED_BY_CHANNEL:
        low, high = (instruction.constants[name].array for name in ("minimum", "maximum"))
        return int(low.min()), int(high.max())
    if operator in _CLAMPED:
        return number(attributes["minimum"]), number(attributes["maximum"])
    given = [ranges[name] for name in instruction.inputs if name in ranges]
    if not given:
        return None
    if operator == "pad":
        value = number(attributes["value"])
        given.append((value, value))
    elif operator not in _MOVES and not (
        operator == "max_pool" and _every_window_meets_input(program, instruction)
    ):
        return None
    return min(low for low, _ in given), max(high for _, high in given)


def _every_window_meets_input(program: IntegerProgram, instruction: Instruction) -> bool:
    """Return whether no window of a pooling lies in the padding alone, where it would give the least code."""
    kernel, strides, pads, dilations = (
        numbers(instruction.attributes[name])
        for name in ("kernel_shape", "strides", "pads", "dilations")
    )
    inputs, outputs = (
        program.tensors[name].shape for name in (instruction.inputs[0], instruction.output)
    )
    for axis in range(2):
        size, count = inputs[2 + axis], outputs[2 + axis]
        if size is None or count is None or dilations[axis] != 1:
            return False
        last = (count - 1) * strides[axis] - pads[axis]
        if pads[axis] >= kernel[axis] or last >= size:
            return False
    return True
