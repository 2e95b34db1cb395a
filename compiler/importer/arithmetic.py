"""Arithmetic on two or more operands: Add, Sub, Mul, Div, Pow, Max, Min, Sum, Mean."""

from __future__ import annotations

import math

import numpy as np

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.scope import Scope
from intlower.compiler.operators import (
    Add,
    Clip,
    Div,
    Elementwise,
    Function,
    Identity,
    Maximum,
    Minimum,
    Mul,
    Sub,
)


def convert_add(node: OnnxNode, scope: Scope) -> None:
    """Convert Add; a constant comes second, and may mask with -infinity."""
    a, b = node.input(0), node.input(1)
    if not scope.is_value(a):
        a, b = b, a
    operands = (a, b if scope.is_value(b) else scope.addend(b))
    scope.emit(node.name, Add(), operands, node.outputs[0])


def convert_mul(node: OnnxNode, scope: Scope) -> None:
    """Convert Mul; a constant comes second."""
    scope.emit(node.name, Mul(), _constant_last(node, scope), node.outputs[0])


def _constant_last(node: OnnxNode, scope: Scope) -> tuple[str, str]:
    a, b = node.input(0), node.input(1)
    if not scope.is_value(a):
        a, b = b, a
    return a, scope.operand(b, "operand")


def convert_sub(node: OnnxNode, scope: Scope) -> None:
    """Convert Sub: x - c is x + (-c), and c - x is -1 * x + c."""
    a, b = node.input(0), node.input(1)
    if scope.is_value(a) and scope.is_value(b):
        scope.emit(node.name, Sub(), (a, b), node.outputs[0])
    elif scope.is_value(a):
        shift = scope.add_constant(f"{node.name}_shift", -scope.floats(b, "operand"))
        scope.emit(node.name, Add(), (a, shift), node.outputs[0])
    else:
        sign = scope.add_constant(f"{node.name}_sign", np.array(-1.0, np.float32))
        negative = scope.emit_intermediate(f"{node.name}_negative", Mul(), (b, sign))
        shift = scope.constant(a, "operand")
        scope.emit(node.name, Add(), (negative, shift), node.outputs[0])


def convert_div(node: OnnxNode, scope: Scope) -> None:
    """Convert Div: x / c is x * (1 / c), and c / x is (1 / x) * c."""
    a, b = node.input(0), node.input(1)
    if scope.is_value(a) and scope.is_value(b):
        scope.emit(node.name, Div(), (a, b), node.outputs[0])
        scope.quotients[node.outputs[0]] = (a, b)
    elif scope.is_value(a):
        with np.errstate(divide="ignore", over="ignore"):
            factors = 1 / scope.floats(b, "divisor").astype(np.float64)
            factors = factors.astype(np.float32)
        if not np.isfinite(factors).all():
            raise InvalidGraph(f"{node.name}: it divides by 0, or by almost 0")
        factor = scope.add_constant(f"{node.name}_factor", np.asarray(factors))
        scope.emit(node.name, Mul(), (a, factor), node.outputs[0])
    else:
        function = Elementwise(function=Function.RECIPROCAL)
        numerator = scope.floats(a, "dividend")
        if (numerator == 1).all() and numerator.size == 1 and numerator.ndim <= 1:
            scope.emit(node.name, function, (b,), node.outputs[0])
            return
        inverse = scope.emit_intermediate(f"{node.name}_inverse", function, (b,))
        factor = scope.constant(a, "dividend")
        scope.emit(node.name, Mul(), (inverse, factor), node.outputs[0])


def convert_pow(node: OnnxNode, scope: Scope) -> None:
    """Convert Pow of a value to one constant exponent; exponents 1/2, 1 and -1 have functions of their own."""
    x = node.input(0)
    if not scope.is_value(x):
        raise NotSupported("its base is not computed")
    if scope.is_value(node.input(1)):
        raise NotSupported("its exponents are computed: write Exp of exponent times Log")
    exponents = scope.array(node.input(1), "exponent").astype(np.float64)
    if exponents.size != 1 or exponents.ndim > len(scope.shape(x)):
        raise NotSupported("its exponents differ between elements")
    exponent = float(exponents.reshape(()))
    if not math.isfinite(exponent):
        raise InvalidGraph(f"{node.name}: its exponent is {exponent}")
    operator: Elementwise | Identity
    if exponent == 1:
        operator = Identity()
    elif exponent == -1:
        operator = Elementwise(function=Function.RECIPROCAL)
    elif exponent == 0.5:
        operator = Elementwise(function=Function.SQRT)
    else:
        operator = Elementwise(function=Function.POW, alpha=exponent)
    scope.emit(node.name, operator, (x,), node.outputs[0])


def convert_max(node: OnnxNode, scope: Scope) -> None:
    """Convert Max: with one number a Clip."""
    _emit_chain(node, scope, Maximum())


def convert_min(node: OnnxNode, scope: Scope) -> None:
    """Convert Min: with one number a Clip."""
    _emit_chain(node, scope, Minimum())


def convert_sum(node: OnnxNode, scope: Scope) -> None:
    """Convert Sum to Add, one after another."""
    _emit_chain(node, scope, Add())


def convert_mean(node: OnnxNode, scope: Scope) -> None:
    """Convert Mean to the sum of its operands, times the inverse of their number."""
    count = len(node.inputs)
    total = scope.fresh(f"{node.name}_sum")
    _emit_chain(node, scope, Add(), total)
    factor = scope.add_constant(f"{node.name}_factor", np.array(1 / count, np.float32))
    scope.emit(node.name, Mul(), (total, factor), node.outputs[0])


def _emit_chain(
    node: OnnxNode, scope: Scope, operator: Add | Maximum | Minimum, output: str = ""
) -> None:
    """Emit an operator between all inputs, values before constants; defines `output`, or the node's."""
    values = [name for name in node.inputs if scope.is_value(name)]
    operands = values + [name for name in node.inputs if not scope.is_value(name)]
    own = not output
    output = output or node.outputs[0]
    left = operands[0]
    if len(operands) == 1:
        scope.emit(node.name if own else output, Identity(), (left,), output)
    for position, right in enumerate(operands[1:], start=2):
        step, inputs = _step(scope, operator, left, right)
        if position < len(operands):
            left = scope.emit_intermediate(f"{node.name}_{position}", step, inputs)
        else:
            scope.emit(node.name if own else output, step, inputs, output)


def _step(
    scope: Scope, operator: Add | Maximum | Minimum, left: str, right: str
) -> tuple[Add | Maximum | Minimum | Clip, tuple[str, ...]]:
    if scope.is_value(right):
        return operator, (left, right)
    array = scope.floats(right, "operand")
    fits = array.size == 1 and array.ndim <= len(scope.shape(left))
    if isinstance(operator, Maximum) and fits:
        return Clip(minimum=float(array.reshape(()))), (left,)
    if isinstance(operator, Minimum) and fits:
        return Clip(maximum=float(array.reshape(()))), (left,)
    return operator, (left, scope.constant(right, "operand"))
