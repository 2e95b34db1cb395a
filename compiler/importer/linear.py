"""Gemm, MatMul and BatchNormalization: products of matrices, and per-channel scales."""

from __future__ import annotations

import numpy as np

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.scope import Scope
from intlower.compiler.operators import Add, BatchNormalization, Gemm, MatMul, Transpose


def convert_gemm(node: OnnxNode, scope: Scope) -> None:
    """Convert Gemm to y = x @ w.T + b, with w [O, I] and b [O] constant.

    alpha and beta are multiplied into the constants. An addend that is no row vector becomes an
    Add of its own. A product of two values becomes a MatMul.
    """
    x, addend = node.input(0), node.input(2)
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    if not scope.is_value(x):
        raise NotSupported("its first operand is a constant")
    if scope.is_value(node.input(1)):
        _convert_product(node, scope, alpha, beta)
        return
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
        scope.emit(node.name, Add(), (product, addend), node.outputs[0])
    else:
        _emit_with_constant(node, scope, inputs, addend, beta, outputs)


def _convert_product(node: OnnxNode, scope: Scope, alpha: float, beta: float) -> None:
    """Convert Gemm of two values."""
    operands = []
    for position, key in enumerate(("transA", "transB")):
        name = node.input(position)
        if node.integer(key, 0):
            if scope.shape(name)[0] is None:
                raise NotSupported("it transposes the free batch")
            name = scope.emit_intermediate(
                f"{node.name}_{key}", Transpose(permutation=(1, 0)), (name,)
            )
        operands.append(name)
    if alpha != 1.0 or beta != 1.0:
        raise NotSupported("it scales a product of two values")
    if not node.input(2):
        scope.emit(node.name, MatMul(), (operands[0], operands[1]), node.outputs[0])
        return
    product = scope.emit_intermediate(
        f"{node.name}_product", MatMul(), (operands[0], operands[1])
    )
    addend = scope.operand(node.input(2), "addend")
    scope.emit(node.name, Add(), (product, addend), node.outputs[0])


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


def convert_matmul(node: OnnxNode, scope: Scope) -> None:
    """Convert MatMul of two values, or of a value and a constant on either side, none of them a vector."""
    for position, name in enumerate(node.inputs):
        if len(scope.shape(name)) < 2:
            raise NotSupported(f"its {('left', 'right')[position]} operand is a vector")
    inputs = tuple(scope.operand(name, "operand") for name in node.inputs)
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
