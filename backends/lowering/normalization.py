"""Normalizations by statistics of their input: exact integer sums, an integer square root, one rounding at the end."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.builder import ProgramBuilder
from intlower.backends.lowering.operands import output_limits
from intlower.backends.lowering.rearrangement import Chain
from intlower.compiler.errors import ScaleOutOfRange, UnsupportedByTarget
from intlower.compiler.graph import Node
from intlower.compiler.operators import (
    LRN,
    InstanceNormalization,
    LayerNormalization,
    known,
    normalize_axis,
)
from intlower.kernels.numerics_general import (
    DIRECT_BITS,
    INTERPOLATED_BITS,
    NORMAL_FRACTION_BITS,
    OCTAVE_ENTRIES,
)

# Sums of a normalization stay below 2**61, see `instruction_rules_general.py`; so does its epsilon.
_SUM_BITS = 61

# Bits of the affine's multipliers and of its biases, with a sign.
_FACTOR_BITS = 31


def lower_layer_norm(builder: ProgramBuilder, node: Node) -> None:
    """Emit `normalize` for a LayerNormalization, its rows what lies before its axis.

    Raises:
        UnsupportedByTarget: it normalizes over the batch.
    """
    operator = node.operator
    assert isinstance(operator, LayerNormalization)  # the caller matched it
    shape = builder.shape(node.inputs[0])
    axis = normalize_axis(operator.axis, len(shape))
    if axis == 0:
        raise UnsupportedByTarget(f"{node.name}: it normalizes over the batch")
    rows, count = (math.prod(known(d) for d in part) for part in (shape[1:axis], shape[axis:]))
    scale = builder.constant(node, 1).array.astype(np.float64).reshape(1, -1)
    bias = (
        builder.constant(node, 2).array.astype(np.float64).reshape(1, -1)
        if len(node.inputs) == 3
        else np.zeros_like(scale)
    )
    _normalize(builder, node, rows, count, scale, bias, operator.epsilon)


def lower_instance_norm(builder: ProgramBuilder, node: Node) -> None:
    """Emit `normalize` for an InstanceNormalization, its rows the channels."""
    operator = node.operator
    assert isinstance(operator, InstanceNormalization)  # the caller matched it
    shape = builder.shape(node.inputs[0])
    scale, bias = (
        builder.constant(node, i).array.astype(np.float64).reshape(-1, 1) for i in (1, 2)
    )
    count = math.prod(known(d) for d in shape[2:])
    _normalize(builder, node, known(shape[1]), count, scale, bias, operator.epsilon)


def _normalize(
    builder: ProgramBuilder,
    node: Node,
    rows: int,
    count: int,
    scale: NDArray[np.float64],
    bias: NDArray[np.float64],
    epsilon: float,
) -> None:
    shape = builder.shape(node.inputs[0])
    source, target = builder.grid(node.inputs[0]), builder.encodings[node.output]
    flat, normal = node.inputs[0], node.output
    rows_of_codes = (shape[0], rows, count)
    if shape != rows_of_codes:
        flat, normal = f"{node.output}.rows", f"{node.output}.normal"
        chain = Chain(builder, node, node.inputs[0], flat)
        chain.reshape(rows, count)
        chain.emit()
    width = source.element.limits[1] - source.element.limits[0] + 1
    input_shift = 0
    while (count * (width >> 1 >> input_shift)) ** 2 > 1 << _SUM_BITS:
        input_shift += 1
    unit = source.step * (1 << input_shift)
    greatest = (1 << _SUM_BITS) - 1
    units = min(float(count) ** 2 * epsilon / unit**2, float(greatest >> 1))
    builder.define(normal, rows_of_codes, target)
    multiplier, codes, bias_shift, shift = affine_factors(
        scale / target.step, bias / target.step, node.name
    )
    builder.emit(
        "normalize",
        name=node.name,
        inputs=(flat,),
        output=normal,
        constants={"multiplier": multiplier, "bias": codes},
        attributes={
            "bias_shift": bias_shift,
            "shift": shift,
            "epsilon": max(1, round(units)),
            "input_shift": input_shift,
            **output_limits(builder, node, target),
        },
    )
    if normal != node.output:
        ending = Chain(builder, replace(node, name=f"{node.name}.shape"), normal, node.output)
        ending.reshape(*(known(d) for d in shape[1:]))
        ending.emit()


def affine_factors(
    scale: NDArray[np.float64], bias: NDArray[np.float64], where: str
) -> tuple[NDArray[np.int32], NDArray[np.int32], int, int]:
    """Return (multipliers, biases, bias shift, shift) of equation (G4): as many bits as fit int32.

    Args:
        scale: of a normalized number, in codes of the output.
        bias: in codes of the output.
        where: for messages.

    Raises:
        ScaleOutOfRange: the output's step is too small for them.
    """
    greatest = max(float(np.abs(scale).max()), 2.0**-30)
    shift = NORMAL_FRACTION_BITS + _FACTOR_BITS - 1 - math.frexp(greatest)[1]
    largest_bias = math.frexp(float(np.abs(bias).max()))[1]
    shift = min(shift, _FACTOR_BITS + 28 - largest_bias, 62)
    if shift < 0:
        raise ScaleOutOfRange(
            f"{where}: the normalization's scale or shift is too large for the output's step",
            "the output's range is far below what the inputs can produce; check the calibration",
        )
    bias_shift = max(0, largest_bias + shift - (_FACTOR_BITS - 1))
    multiplier = np.rint(np.ldexp(scale, shift - NORMAL_FRACTION_BITS))
    codes = np.rint(np.ldexp(bias, shift - bias_shift))
    return multiplier.astype(np.int32), codes.astype(np.int32), bias_shift, shift


def lower_lrn(builder: ProgramBuilder, node: Node) -> None:
    """Emit `lrn`, its function of the sum of squares as a table by octaves.

    Raises:
        UnsupportedByTarget: the function is not positive and finite for every sum.
    """
    operator = node.operator
    assert isinstance(operator, LRN)  # the caller matched it
    shape = builder.shape(node.inputs[0])
    source = builder.grid(node.inputs[0])
    channels = known(shape[1])
    rest = math.prod(known(d) for d in shape[2:])
    image, result = node.inputs[0], node.output
    target = builder.encodings[node.output]
    if len(shape) != 4:
        image, result = f"{node.output}.image", f"{node.output}.normal"
        chain = Chain(builder, node, node.inputs[0], image)
        chain.reshape(channels, rest, 1)
        chain.emit()
    size = min(operator.size, 2 * channels + 1)
    reach = max(abs(limit - source.zero_point) for limit in source.element.limits)
    squares = min(size, channels) * reach**2
    sum_shift = max(0, squares.bit_length() - INTERPOLATED_BITS)
    factors = _lrn_factors(operator, source.step**2 * 2.0**sum_shift) * (
        source.step / target.step
    )
    if not (np.isfinite(factors).all() and (factors > 0).all()):
        raise UnsupportedByTarget(
            f"{node.name}: it divides by the power of a number that may be 0 or negative"
        )
    shift = min(62, _FACTOR_BITS - math.frexp(float(factors.max()))[1])
    if shift < 1:
        raise ScaleOutOfRange(f"{node.name}: the output's step is too small for its input's")
    table = np.minimum(np.rint(np.ldexp(factors, shift)), (1 << _FACTOR_BITS) - 1)
    builder.define(result, builder.shape(image), target)
    builder.emit(
        "lrn",
        name=node.name,
        inputs=(image,),
        output=result,
        constants={"table": table.astype(np.int32)},
        attributes={
            "size": size,
            "sum_shift": sum_shift,
            "shift": shift,
            "input_zero_point": source.zero_point,
            **output_limits(builder, node, target),
        },
    )
    if result != node.output:
        ending = Chain(builder, replace(node, name=f"{node.name}.shape"), result, node.output)
        ending.reshape(*(known(d) for d in shape[1:]))
        ending.emit()


def _lrn_factors(operator: LRN, unit: float) -> NDArray[np.float64]:
    """Return (bias + alpha / size * S)**-beta at every entry of a table by octaves, for sums S in units."""
    entries = np.arange(OCTAVE_ENTRIES)
    octave = np.maximum((entries >> DIRECT_BITS) - 1, 0)
    sums = np.ldexp((entries - (octave << DIRECT_BITS)).astype(np.float64), octave) * unit
    with np.errstate(all="ignore"):
        base = operator.bias + operator.alpha / operator.size * sums
        return np.asarray(np.power(base, -operator.beta), np.float64)
