"""Gemm, MatMul and BatchNormalization: products with constant matrices and per-channel scales."""

from __future__ import annotations

import numpy as np

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.scope import Scope
from intlower.compiler.operators import Add, BatchNormalization, Gemm, MatMul


def convert_gemm(node: OnnxNode, scope: Scope) -> None:
    """Convert Gemm to y = x @ w.T + b, with w [O, I] and b [O] constant.

    alpha and beta are multiplied into the constants. An addend that is no row vector becomes an
    Add of its own.
    """
    x, addend = node.input(0), node.input(2)
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    if not scope.is_value(x):
        raise NotSupported("its first operand is a constant")
    if node.integer("transA", 0):
        raise NotSupported("it transposes its first operand")
    weights = scope.floats(node.input(1), "second operand")
    transposed = bool(node.integer("transB", 0))
    if weights.ndim != 2:
        raise InvalidGraph(f"{node.name}: a weight matrix of shape {list(weights.shape)}")
    outputs = weights.shape[0 if transposed else 1]
    if transposed and alpha == 1.0:
        inputs = (x, scope.constant(node.input(1), "second operand"))
    else:
        array = np.ascontiguousarray(weights if transposed else weights.T) * np.float32(alpha)
        inputs = (x, scope.add_constant(f"{node.name}_weights", array))
    if not addend or beta == 0.0:
        scope.emit(node.name, Gemm(), inputs, node.outputs[0])
    elif scope.is_value(addend):
        if beta != 1.0:
            raise NotSupported("it scales an addend that is not a constant")
        product = scope.emit_intermediate(f"{node.name}_product", Gemm(), inputs)
        _add_values(node, scope, product, addend)
    else:
        _emit_with_constant(node, scope, inputs, addend, beta, outputs)


def _emit_with_constant(
    node: OnnxNode,
    scope: Scope,
    inputs: tuple[str, str],
    addend: str,
    beta: float,
    outputs: int,
) -> None:
    array = scope.floats(addend, "addend")
    if array.shape == (outputs,) and beta == 1.0:
        bias = scope.constant(addend, "addend")
        scope.emit(node.name, Gemm(), (*inputs, bias), node.outputs[0])
        return
    scaled = array * np.float32(beta)
    if (
        scaled.ndim <= 2
        and scaled.shape[:-1] in ((), (1,))
        and scaled.shape[-1:] in ((), (1,), (outputs,))
    ):
        row = np.ascontiguousarray(np.broadcast_to(scaled.reshape(-1), (outputs,)))
        bias = scope.add_constant(f"{node.name}_bias", row)
        scope.emit(node.name, Gemm(), (*inputs, bias), node.outputs[0])
        return
    product = scope.emit_intermediate(f"{node.name}_product", Gemm(), inputs)
    constant = scope.add_constant(f"{node.name}_addend", scaled)
    scope.emit(node.name, Add(), (product, constant), node.outputs[0])


def _add_values(node: OnnxNode, scope: Scope, a: str, b: str) -> None:
    if scope.shape(a) != scope.shape(b):
        raise NotSupported(f"it adds values of shapes {scope.shape(a)} and {scope.shape(b)}")
    scope.emit(node.name, Add(), (a, b), node.outputs[0])


def convert_add(node: OnnxNode, scope: Scope) -> None:
    """Convert Add: of two values of one shape, or of a value and a constant, which comes second."""
    a, b = node.input(0), node.input(1)
    if scope.is_value(a) and scope.is_value(b):
        _add_values(node, scope, a, b)
        return
    value, other = (a, b) if scope.is_value(a) else (b, a)
    constant = scope.constant(other, "addend")
    scope.emit(node.name, Add(), (value, constant), node.outputs[0])


def convert_matmul(node: OnnxNode, scope: Scope) -> None:
    """Convert MatMul with a constant matrix on the right."""
    if not scope.is_value(node.input(0)):
        raise NotSupported("its left operand is a constant")
    if len(scope.shape(node.input(0))) < 2:
        raise NotSupported("its left operand is a vector")
    weights = scope.array(node.input(1), "right operand")
    if weights.ndim != 2:
        raise NotSupported(f"its right operand has rank {weights.ndim}, not 2")
    inputs = (node.input(0), scope.constant(node.input(1), "right operand"))
    scope.emit(node.name, MatMul(), inputs, node.outputs[0])


def convert_batch_normalization(node: OnnxNode, scope: Scope) -> None:
    """Convert BatchNormalization in its inference form.

    Raises:
        InvalidGraph: a variance is negative.
    """
    node.first_output_only()
    if node.integer("training_mode", 0):
        raise NotSupported("it is in training mode")
    roles = ("scale", "shift", "mean", "variance")
    parameters = [scope.constant(node.input(i), role) for i, role in enumerate(roles, start=1)]
    epsilon = node.number("epsilon", 1e-5)
    if not (scope.constants[parameters[3]].array + epsilon > 0).all():
        raise InvalidGraph(f"{node.name}: variance plus epsilon is not positive")
    operator = BatchNormalization(epsilon=epsilon)
    scope.emit(node.name, operator, (node.input(0), *parameters), node.outputs[0])
