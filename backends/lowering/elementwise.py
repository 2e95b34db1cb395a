"""Residual sums, standalone activations, concatenation and softmax."""

from __future__ import annotations

import decimal

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.builder import ProgramBuilder
from intlower.backends.lowering.scales import (
    align_float32_scales,
    factor_of,
    integer_scale,
    prove_left_shift,
)
from intlower.compiler.errors import ScaleOutOfRange, UnsupportedByTarget
from intlower.compiler.graph import Node
from intlower.compiler.grids import UniformGrid
from intlower.compiler.operators import Activation, Clip, Concat, Relu, Softmax, normalize_axis
from intlower.compiler.program import HostStep
from intlower.compiler.spec import SoftmaxRule
from intlower.kernels.signature import Requantize

# Fraction bits kept in a sum of 8-bit codes, equation (13); TFLite's choice for int8. Wider codes keep fewer.
SUM_LEFT_SHIFT = 20

# Codes less zero points, shifted left, stay below 2**30, equation (13).
SUM_BITS = 29

# Fraction bits of the softmax's table of exponentials: entries stay below 2**24 and sums below 2**53.
SOFTMAX_FRACTION_BITS = 22


def lower_add(builder: ProgramBuilder, node: Node) -> None:
    """Emit `add` for two tensors of one shape, equation (9) or (13)."""
    for name in node.inputs:
        if name not in builder.tensors or builder.shape(name) != builder.shape(node.inputs[0]):
            raise UnsupportedByTarget(
                f"{node.name}: {builder.spec.name!r} adds two computed tensors of one shape, and "
                f"{name!r} is a constant or is broadcast",
                "fold the constant into a convolution's bias",
            )
    a, b = (builder.grid(name) for name in node.inputs)
    target = builder.define_value(node.output)
    a_scale, b_scale, y_scale = (float(grid.scale.array) for grid in (a, b, target))
    rule = builder.spec.requantize

    def scale(numerator: float, denominator: float) -> tuple[int, int]:
        return integer_scale(rule, factor_of(rule, (numerator,), denominator), node.name)

    scales: tuple[tuple[int, int], ...]
    if rule is Requantize.F32EVEN:
        scales = align_float32_scales((scale(a_scale, y_scale), scale(b_scale, y_scale)))
        left_shift = 0
    else:
        twice = 2 * max(a_scale, b_scale)
        left_shift = min(SUM_LEFT_SHIFT, SUM_BITS - builder.spec.activations.bits)
        scales = (
            scale(a_scale, twice),
            scale(b_scale, twice),
            scale(twice, y_scale * (1 << left_shift)),
        )
        if scales[2][1] < 31:
            raise ScaleOutOfRange(
                f"{node.name}: the sum's scale is too small for its summands, in fixed point with "
                f"{left_shift} fraction bits",
                "the output's range is far below what the inputs can produce; check the calibration",
            )
    low, high = builder.activation_codes(node.activation, target)
    builder.emit(
        "add",
        name=node.name,
        inputs=node.inputs,
        output=node.output,
        attributes={
            "multiplier": tuple(multiplier for multiplier, _ in scales),
            "shift": tuple(shift for _, shift in scales),
            "left_shift": left_shift,
            "input_zero_points": (a.zero_point, b.zero_point),
            "output_zero_point": target.zero_point,
            "minimum": low,
            "maximum": high,
        },
    )


def lower_activation(builder: ProgramBuilder, node: Node) -> None:
    """Emit `requantize` with a clamp for a Relu or Clip that no node could take over."""
    assert isinstance(node.operator, Relu | Clip)  # the caller matched it
    builder.define_value(node.output)
    requantize(builder, node.name, node.inputs[0], node.output, node.operator)


def lower_concat(builder: ProgramBuilder, node: Node) -> None:
    """Emit `concat`, after a `requantize` of each input that is not on the output's grid."""
    assert isinstance(node.operator, Concat)  # the caller matched it
    target = builder.define_value(node.output)
    joined: list[str] = []
    for position, name in enumerate(node.inputs):
        if name not in builder.tensors:
            raise UnsupportedByTarget(
                f"{node.name}: {name!r}, a constant, cannot be concatenated"
            )
        if builder.grid(name) != target:
            copy = f"{node.output}.input{position}"
            builder.define(copy, builder.shape(name), target)
            requantize(builder, f"{node.name}.input{position}", name, copy, None)
            name = copy
        joined.append(name)
    axis = normalize_axis(node.operator.axis, len(builder.shape(joined[0])))
    if axis == 0:
        raise UnsupportedByTarget(f"{node.name}: the batch cannot be concatenated")
    builder.emit(
        "concat",
        name=node.name,
        inputs=tuple(joined),
        output=node.output,
        attributes={"axis": axis},
    )


def requantize(
    builder: ProgramBuilder, name: str, source: str, output: str, activation: Activation | None
) -> None:
    """Emit `requantize` from one tensor to another that is defined already."""
    origin, target = builder.grid(source), builder.grid(output)
    rule = builder.spec.rescale
    factor = factor_of(rule, (float(origin.scale.array),), float(target.scale.array))
    multiplier, shift = integer_scale(rule, factor, name)
    reach = max(abs(limit - origin.zero_point) for limit in origin.limits)
    prove_left_shift(rule, reach, shift, name)
    low, high = builder.activation_codes(activation, target)
    builder.emit(
        "requantize",
        name=name,
        inputs=(source,),
        output=output,
        attributes={
            "multiplier": multiplier,
            "shift": shift,
            "input_zero_point": origin.zero_point,
            "output_zero_point": target.zero_point,
            "minimum": low,
            "maximum": high,
        },
    )


def lower_softmax(builder: ProgramBuilder, node: Node) -> None:
    """Leave a final softmax to the host, or emit it as an integer table, as the target does.

    Raises:
        UnsupportedByTarget: the target leaves softmax to the host, and the graph goes on after it; or it runs along the batch.
    """
    assert isinstance(node.operator, Softmax)  # the caller matched it
    source = node.inputs[0]
    axis = normalize_axis(node.operator.axis, len(builder.shape(source)))
    if axis == 0:
        raise UnsupportedByTarget(f"{node.name}: a softmax along the batch has no integer form")
    if builder.spec.softmax is SoftmaxRule.HOST:
        if builder.graph.consumers()[node.output]:
            raise UnsupportedByTarget(
                f"{node.name}: {builder.spec.name!r} runs a softmax on the host, so only at the end",
                "choose a target with an integer softmax, or cut the model before it",
            )
        builder.host.append(
            HostStep(operator="Softmax", input=source, output=node.output, axis=axis)
        )
        return
    grid = builder.define_value(node.output)
    builder.emit(
        "softmax",
        name=node.name,
        inputs=(source,),
        output=node.output,
        constants={"table": exponential_table(builder.grid(source))},
        attributes={"axis": axis, "maximum": grid.maximum},
    )


def exponential_table(grid: UniformGrid) -> NDArray[np.int32]:
    """Return round(2**F * exp(-scale * d)) for every difference of codes d, ties away from zero.

    In decimal arithmetic of 50 digits, so that it is the same on every machine.
    """
    low, high = grid.element.limits
    with decimal.localcontext(prec=50):
        scale = decimal.Decimal(float(grid.scale.array))
        one = decimal.Decimal(1 << SOFTMAX_FRACTION_BITS)
        entries = [
            int((one * (-scale * d).exp()).to_integral_value(decimal.ROUND_HALF_UP))
            for d in range(high - low + 1)
        ]
    return np.array(entries, np.int32)
