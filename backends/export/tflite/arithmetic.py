"""What TFLite derives from scales at run time, proved to be what a program holds.

A .tflite file has scales and no multipliers: a program is in it only if each of its integers is the one that the runtime
computes from the scales.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from intlower.backends.export.tflite.network import Network, refuse
from intlower.backends.lowering.fixed_point import fixed_exponential_table
from intlower.backends.lowering.scales import integer_scale
from intlower.compiler.errors import ScaleOutOfRange
from intlower.compiler.grids import UniformGrid, uniform
from intlower.compiler.program import Instruction
from intlower.kernels.signature import ElementType, Requantize

# Fraction bits of a sum, equation (13). Source: tensorflow/lite/kernels/add.cc.
_SUM_FRACTION = {ElementType.INT8: 20, ElementType.INT16: 15}

_HINT = "compile the model with --target litert"


def require_arithmetic(network: Network, instruction: Instruction) -> None:
    """Prove that TFLite computes an instruction with the same integers.

    Raises:
        ExportError: it does not; the instruction is named.
    """
    elements = {
        network.grid(name).element for name in (*instruction.inputs, instruction.output)
    }
    if len(elements) > 1:
        raise refuse(instruction.name, "reads and writes codes of different types", _HINT)
    for name in (*instruction.inputs, instruction.output):
        grid = network.grid(name)
        if grid.element is ElementType.INT16 and grid.zero_point != 0:
            raise refuse(name, f"has int16 codes with zero point {grid.zero_point}", _HINT)
    proof = _PROOFS.get(instruction.kernel.operator)
    if proof is None:
        raise refuse(
            instruction.name, f"is {instruction.kernel}, which TFLite does not have", _HINT
        )
    try:
        same = proof(network, instruction)
    except ScaleOutOfRange:
        same = False
    if not same:
        raise refuse(
            instruction.name,
            f"is {instruction.kernel} with other numbers than TFLite derives from the scales",
            _HINT,
        )


def _grids(network: Network, instruction: Instruction) -> tuple[list[UniformGrid], UniformGrid]:
    return [network.grid(name) for name in instruction.inputs], network.grid(instruction.output)


def _double(numerator: float, denominator: float, where: str) -> tuple[int, int]:
    return integer_scale(Requantize.MUL31DOUBLE, numerator / denominator, where)


def _products(network: Network, instruction: Instruction) -> bool:
    (source,), target = _grids(network, instruction)
    weights = instruction.constants["weights"].array
    assert instruction.weight_grid is not None  # the operator is weighted
    grid = uniform(instruction.weight_grid, instruction.name)
    if grid.element is not ElementType.INT8 or grid.zero_point != 0:
        raise refuse(
            instruction.name,
            f"has {grid.element.dtype_name} weights with zero point {grid.zero_point}",
            _HINT,
        )
    wide = source.element is ElementType.INT16
    rule = Requantize.MUL31SINGLE if wide else Requantize.MUL31DOUBLE
    expected = [
        integer_scale(
            rule,
            source.step * float(scale) / target.step,
            instruction.name,
            bits=15 if wide else 31,
            reduced=wide,
        )
        for scale in np.broadcast_to(grid.scale.array, (len(weights),))
    ]
    found = zip(
        instruction.constants["multiplier"].array.tolist(),
        instruction.constants["shift"].array.tolist(),
        strict=True,
    )
    return instruction.kernel.requantize is rule and list(found) == expected


def _add(network: Network, instruction: Instruction) -> bool:
    (a, b), target = _grids(network, instruction)
    twice = 2 * max(a.step, b.step)
    fraction = _SUM_FRACTION[target.element]
    expected = [
        _double(numerator, denominator, instruction.name)
        for numerator, denominator in (
            (a.step, twice),
            (b.step, twice),
            (twice, target.step * (1 << fraction)),
        )
    ]
    return (
        instruction.kernel.requantize is Requantize.MUL31DOUBLE
        and instruction.attributes["left_shift"] == fraction
        and _numbers(instruction, ("multiplier", "shift")) == tuple(zip(*expected, strict=True))
    )


def _requantize(network: Network, instruction: Instruction) -> bool:
    (source,), target = _grids(network, instruction)
    return instruction.kernel.requantize is Requantize.MUL31DOUBLE and _numbers(
        instruction, ("multiplier", "shift")
    ) == _double(source.step, target.step, instruction.name)


def _two(network: Network, instruction: Instruction) -> bool:
    """Prove a product of two tensors: MultiplyByQuantizedMultiplier of an int32. Source: reference/integer_ops/mul.h."""
    (a, b), target = _grids(network, instruction)
    return instruction.kernel.requantize is Requantize.MUL31DOUBLE and _numbers(
        instruction, ("multiplier", "shift")
    ) == _double(a.step * b.step, target.step, instruction.name)


def _matmul(network: Network, instruction: Instruction) -> bool:
    """Prove a matrix product of two tensors: of 16 bits, summed in 64 and rescaled as a convolution's sums."""
    (a, b), target = _grids(network, instruction)
    if target.element is ElementType.INT8:
        return _two(network, instruction)
    rule = Requantize.MUL31SINGLE
    scale = a.step * b.step / target.step
    return instruction.kernel.requantize is rule and _numbers(
        instruction, ("multiplier", "shift")
    ) == integer_scale(rule, scale, instruction.name, bits=15, reduced=True)


def _stored(network: Network, instruction: Instruction) -> bool:
    """Return true: codes and tables are constants of the file."""
    return True


def _softmax(network: Network, instruction: Instruction) -> bool:
    (source,), target = _grids(network, instruction)
    table = fixed_exponential_table(source, instruction.name)
    return (
        target.step == 2.0**-8
        and target.zero_point == target.element.limits[0]
        and np.array_equal(instruction.constants["table"].array, table)
    )


def _keeps_grid(network: Network, instruction: Instruction) -> bool:
    sources, target = _grids(network, instruction)
    return all(grid.numbers() == target.numbers() for grid in sources)


def _numbers(instruction: Instruction, keys: Sequence[str]) -> tuple[Any, ...]:
    return tuple(instruction.attributes[key] for key in keys)


_PROOFS: dict[str, Callable[[Network, Instruction], bool]] = {
    "conv2d": _products,
    "gemm": _products,
    "add": _add,
    "requantize": _requantize,
    "mean_pool": _keeps_grid,
    "max_pool": _keeps_grid,
    "concat": _keeps_grid,
    "pad": _keeps_grid,
    "slice": _keeps_grid,
    "reshape": _keeps_grid,
    "softmax_fixed": _softmax,
    "transpose": _keeps_grid,
    "gather": _keeps_grid,
    "multiply": _two,
    "matmul": _matmul,
    "lookup": _stored,
    "lookup_channels": _stored,
    "lookup_interpolated": _stored,
    "constant": _stored,
}
