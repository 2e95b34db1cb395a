"""Residual sums, standalone activations, concatenation and softmax."""

from __future__ import annotations

import decimal

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.builder import ProgramBuilder
from intlower.backends.lowering.fixed_point import lower_fixed_softmax
from intlower.backends.lowering.operands import emit_constant
from intlower.backends.lowering.scales import prove_left_shift
from intlower.backends.lowering.sums import sum_scales
from intlower.compiler.errors import UnsupportedByTarget
from intlower.compiler.graph import Node
from intlower.compiler.grids import UniformGrid
from intlower.compiler.operators import Activation, Clip, Concat, Relu, Softmax, normalize_axis
from intlower.compiler.program import HostStep
from intlower.compiler.spec import SoftmaxRule

# Fraction bits of the softmax's table of exponentials: entries stay below 2**24 and sums below 2**53.
SOFTMAX_FRACTION_BITS = 22


def lower_add(builder: ProgramBuilder, node: Node) -> None:
    """Emit `add` for two tensors of one shape, equation (9), (13), (17) or (18)."""
    for name in node.inputs:
        if name not in builder.tensors or builder.shape(name) != builder.shape(node.inputs[0]):
            raise UnsupportedByTarget(
                f"{node.name}: {builder.spec.name!r} adds two computed tensors of one shape, and "
                f"{name!r} is a constant or is broadcast",
                "fold the constant into a convolution's bias",
            )
    a, b = (builder.grid(name) for name in node.inputs)
    target = builder.define_value(node.output)
    multiplier, shift, left_shift = sum_scales(builder, a.step, b.step, target.step, node.name)
    low, high = builder.activation_codes(node.activation, target)
    builder.emit(
        "add",
        name=node.name,
        inputs=node.inputs,
        output=node.output,
        attributes={
            "multiplier": multiplier,
            "shift": shift,
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
    shape = builder.graph.values[node.output].shape
    computed = [name for name in node.inputs if name in builder.tensors]
    if not computed:
        raise UnsupportedByTarget(f"{node.name}: it joins constants only")
    joined: list[str] = []
    for position, name in enumerate(node.inputs):
        if name not in builder.tensors:
            name = emit_constant(builder, node, position, computed[0], target, shape)
        elif builder.grid(name) != target:
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
    multiplier, shift = builder.scale("requantize", (origin.step,), target.step, name)
    reach = max(abs(limit - origin.zero_point) for limit in origin.limits)
    prove_left_shift(builder.rule("requantize"), reach, shift, name)
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
    """Leave a final softmax to the host, in float, or emit it in integers.

    Raises:
        UnsupportedByTarget: it runs along the batch.
    """
    assert isinstance(node.operator, Softmax)  # the caller matched it
    source = node.inputs[0]
    axis = normalize_axis(node.operator.axis, len(builder.shape(source)))
    if axis == 0:
        raise UnsupportedByTarget(f"{node.name}: a softmax along the batch has no integer form")
    inside = bool(builder.graph.consumers()[node.output])
    if builder.spec.softmax is SoftmaxRule.HOST and not inside:
        builder.host.append(
            HostStep(operator="Softmax", input=source, output=node.output, axis=axis)
        )
        return
    grid = builder.define_value(node.output)
    if builder.spec.softmax is SoftmaxRule.FIXED_POINT:
        lower_fixed_softmax(builder, node, axis)
        return
    builder.emit(
        "softmax",
        name=node.name,
        inputs=(source,),
        output=node.output,
        constants={"table": exponential_table(builder.grid(source))},
        attributes={"axis": axis, "maximum": round(1 / grid.step)},
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
