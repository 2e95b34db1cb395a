"""Products and quotients of activations."""

from __future__ import annotations

import math

from intlower.backends.lowering.builder import ProgramBuilder
from intlower.backends.lowering.operands import lower_operands, output_limits
from intlower.backends.lowering.rearrangement import expanded
from intlower.backends.lowering.scales import prove_left_shift
from intlower.compiler.errors import ScaleOutOfRange, UnsupportedByTarget
from intlower.compiler.graph import Node
from intlower.compiler.operators import known
from intlower.kernels.signature import Requantize

# Bits of a quotient's multiplier, and the greatest shift that equation (G6) takes.
_FACTOR_BITS, _GREATEST_SHIFT = 31, 40


def lower_matmul(builder: ProgramBuilder, node: Node) -> None:
    """Emit `matmul` for two tensors, or one and a constant, after leading axes that broadcast are repeated.

        y = clamp(scale(sum_k (a - z_a) * (b - z_b), s_a * s_b / s_y) + z_y)

    Raises:
        UnsupportedByTarget: the matrices have no axes before them but the batch that they share.
        ScaleOutOfRange: sums may leave the integers of the target's requantization.
    """
    shape = builder.graph.values[node.output].shape
    if len(shape) < 3:
        raise UnsupportedByTarget(
            f"{node.name}: it multiplies {shape} across the batch",
            "keep the batch in front of both matrices",
        )
    names = []
    for position, name in enumerate(lower_operands(builder, node)):
        wanted = (*shape[:-2], *builder.shape(name)[-2:])
        names.append(expanded(builder, node, name, wanted, f"operand{position}"))
    a, b = (builder.grid(name) for name in names)
    target = builder.define_value(node.output)
    multiplier, shift = builder.scale("matmul", (a.step, b.step), target.step, node.name)
    bound = known(builder.shape(names[0])[-1])
    for grid in (a, b):
        bound *= max(abs(limit - grid.zero_point) for limit in grid.element.limits)
    multiplier, shift = fitting(builder, bound, multiplier, shift, node.name)
    builder.emit(
        "matmul",
        name=node.name,
        inputs=tuple(names),
        output=node.output,
        attributes={
            "multiplier": multiplier,
            "shift": shift,
            "input_zero_points": (a.zero_point, b.zero_point),
            **output_limits(builder, node, target),
        },
    )


def fitting(
    builder: ProgramBuilder, bound: int, multiplier: int, shift: int, where: str
) -> tuple[int, int]:
    """Return a scale of products whose multiplier has been cut until no product leaves 2**62.

    Raises:
        ScaleOutOfRange: a rule with sums of 32 bits meets larger ones.
    """
    rule = builder.rule("matmul")
    prove_left_shift(rule, bound, shift, where)
    if rule is Requantize.MUL31SINGLE:
        while bound * multiplier >= 1 << 62 and shift > 1:
            multiplier, shift = multiplier >> 1, shift - 1
    return multiplier, shift


def lower_divide(builder: ProgramBuilder, node: Node) -> None:
    """Emit `divide` for two tensors, after one that broadcasts is repeated; over 0 it saturates, equation (G6).

    Raises:
        ScaleOutOfRange: quotients are far past the output's range.
    """
    names = lower_operands(builder, node, expand=True)
    a, b = (builder.grid(name) for name in names)
    target = builder.define_value(node.output)
    factor = a.step / (b.step * target.step)
    shift = min(_FACTOR_BITS - math.frexp(factor)[1], _GREATEST_SHIFT)
    if shift < 0:
        raise ScaleOutOfRange(
            f"{node.name}: the ratio of scales {factor:.3g} is too large for a quotient",
            "the output's range is far below what the inputs can produce; check the calibration",
        )
    multiplier = min(round(math.ldexp(factor, shift)), (1 << _FACTOR_BITS) - 1)
    builder.emit(
        "divide",
        name=node.name,
        inputs=names,
        output=node.output,
        attributes={
            "multiplier": multiplier,
            "shift": shift,
            "input_zero_points": (a.zero_point, b.zero_point),
            **output_limits(builder, node, target),
        },
    )
