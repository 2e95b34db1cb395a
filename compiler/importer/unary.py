"""Functions of one number, and what is made of them: Sigmoid and its kind, PRelu, LogSoftmax, Cast."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import onnx

from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.scope import Scope
from intlower.compiler.operators import Elementwise, Function, Identity, PRelu

# ONNX's name of each function without parameters.
_PLAIN = (
    Function.ABS,
    Function.CEIL,
    Function.COS,
    Function.ERF,
    Function.EXP,
    Function.FLOOR,
    Function.HARD_SWISH,
    Function.LOG,
    Function.MISH,
    Function.NEG,
    Function.RECIPROCAL,
    Function.ROUND,
    Function.SIGMOID,
    Function.SIGN,
    Function.SIN,
    Function.SOFTPLUS,
    Function.SOFTSIGN,
    Function.SQRT,
    Function.TANH,
)

# Those with parameters: the attributes' names and defaults. Source: ONNX's operator documents.
_PARAMETRIC: Mapping[Function, tuple[tuple[str, float], ...]] = MappingProxyType(
    {
        Function.CELU: (("alpha", 1.0),),
        Function.ELU: (("alpha", 1.0),),
        Function.HARD_SIGMOID: (("alpha", 0.2), ("beta", 0.5)),
        Function.LEAKY_RELU: (("alpha", 0.01),),
        Function.SELU: (("alpha", 1.6732631921768188), ("gamma", 1.0507010221481323)),
        Function.THRESHOLDED_RELU: (("alpha", 1.0),),
    }
)

FUNCTION_NAMES = tuple(function.value for function in (*_PLAIN, *_PARAMETRIC))

_FLOATS = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
    onnx.TensorProto.DOUBLE,
)


def convert_function(node: OnnxNode, scope: Scope) -> None:
    """Convert an operator of FUNCTION_NAMES."""
    function = Function(node.operator)
    numbers = [node.number(key, default) for key, default in _PARAMETRIC.get(function, ())]
    operator = Elementwise(
        function=function,
        alpha=numbers[0] if numbers else 0.0,
        beta=numbers[1] if len(numbers) > 1 else 0.0,
    )
    scope.emit(node.name, operator, (node.input(0),), node.outputs[0])


def convert_gelu(node: OnnxNode, scope: Scope) -> None:
    """Convert Gelu in either form."""
    form = node.text("approximate", "none")
    if form not in ("none", "tanh"):
        raise NotSupported(f"its approximation is {form!r}")
    function = Function.GELU if form == "none" else Function.GELU_TANH
    scope.emit(node.name, Elementwise(function=function), (node.input(0),), node.outputs[0])


def convert_swish(node: OnnxNode, scope: Scope) -> None:
    """Convert Swish, x * sigmoid(alpha * x)."""
    operator = Elementwise(function=Function.SILU, alpha=node.number("alpha", 1.0))
    scope.emit(node.name, operator, (node.input(0),), node.outputs[0])


def convert_prelu(node: OnnxNode, scope: Scope) -> None:
    """Convert PRelu with a constant slope; one slope for all elements makes a LeakyRelu."""
    slopes = scope.floats(node.input(1), "slope")
    x = node.input(0)
    if slopes.size and (slopes == slopes.reshape(-1)[0]).all():
        leaky = Elementwise(function=Function.LEAKY_RELU, alpha=float(slopes.reshape(-1)[0]))
        scope.emit(node.name, leaky, (x,), node.outputs[0])
        return
    scope.emit(node.name, PRelu(), (x, scope.constant(node.input(1), "slope")), node.outputs[0])


def convert_cast(node: OnnxNode, scope: Scope) -> None:
    """Convert Cast and CastLike between float types: float32 is all that the graph has."""
    if node.operator == "CastLike":
        like = node.input(1)
        floating = scope.is_value(like) or scope.raw_array(like).dtype.kind == "f"
    else:
        floating = node.integer("to", 0) in _FLOATS
    if not floating:
        raise NotSupported("it makes integers of computed values")
    if scope.is_constant(node.input(0)):  # cast like a value
        array = scope.array(node.input(0), "operand").astype(np.float32)
        scope.define_array(node.outputs[0], array)
        return
    scope.emit(node.name, Identity(), (node.input(0),), node.outputs[0])
