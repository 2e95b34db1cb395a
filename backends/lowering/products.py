"""Products, and differences, of two computed tensors."""

from __future__ import annotations

from dataclasses import replace

from intlower.backends.lowering.builder import ProgramBuilder
from intlower.backends.lowering.elementwise import lower_add
from intlower.backends.lowering.operands import lower_operands
from intlower.backends.lowering.scales import prove_left_shift
from intlower.backends.lowering.tables import lower_negation
from intlower.compiler.graph import Node
from intlower.compiler.operators import Add
from intlower.kernels.signature import Requantize


def lower_multiply(builder: ProgramBuilder, node: Node) -> None:
    """Emit `multiply` for two tensors that broadcast, [N, C, 1, 1] gates among them.

        y = clamp(scale((a - z_a) * (b - z_b), s_a * s_b / s_y) + z_y)

    Raises:
        UnsupportedByTarget: the tensors differ in rank or in batch.
    """
    inputs = lower_operands(builder, node)
    a, b = (builder.grid(name) for name in inputs)
    target = builder.define_value(node.output)
    multiplier, shift = builder.scale("multiply", (a.step, b.step), target.step, node.name)
    bound = 1
    for grid in (a, b):
        bound *= max(abs(limit - grid.zero_point) for limit in grid.element.limits)
    rule = builder.rule("multiply")
    prove_left_shift(rule, bound, shift, node.name)
    # Wide codes leave a multiplier fewer bits: the product stays below 2**62.
    while rule is Requantize.MUL31SINGLE and bound * multiplier >= 1 << 62 and shift > 1:
        multiplier, shift = multiplier >> 1, shift - 1
    low, high = builder.activation_codes(node.activation, target)
    builder.emit(
        "multiply",
        name=node.name,
        inputs=inputs,
        output=node.output,
        attributes={
            "multiplier": multiplier,
            "shift": shift,
            "input_zero_points": (a.zero_point, b.zero_point),
            "output_zero_point": target.zero_point,
            "minimum": low,
            "maximum": high,
        },
    )


def lower_sum(builder: ProgramBuilder, node: Node) -> None:
    """Emit `add` for two tensors, after one that broadcasts is repeated.

    Raises:
        UnsupportedByTarget: the tensors differ in rank or in batch.
    """
    inputs = lower_operands(builder, node, expand=True)
    lower_add(builder, replace(node, inputs=inputs))


def lower_difference(builder: ProgramBuilder, node: Node) -> None:
    """Emit the sum of a tensor and another's negation, which is a table."""
    negated = f"{node.output}.negated"
    lower_negation(builder, f"{node.name}.negated", node.inputs[1], negated)
    lower_sum(builder, replace(node, operator=Add(), inputs=(node.inputs[0], negated)))
