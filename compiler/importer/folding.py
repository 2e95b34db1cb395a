"""Nodes that depend on no input, computed once: how a reshape target or a transposed weight becomes a constant."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.scope import Scope
from intlower.compiler.instruction_checker import LARGEST_TENSOR
from intlower.compiler.operators import Shape

# They move elements and do not calculate with them, so that 0 still stands for the batch.
_BATCH_KEEPING = frozenset(
    {"Slice", "Gather", "Cast", "Concat", "Unsqueeze", "Squeeze", "Identity"}
)

# They make an array of a shape: with the free batch in front, one sample of it.
_BATCH_FILLING = frozenset({"Expand", "ConstantOfShape"})

_RANDOM = frozenset({"Bernoulli", "Multinomial", "RandomNormalLike", "RandomUniformLike"})

# What the reference implementation computes in NumPy, in time linear in what it reads and makes.
_QUICK = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "Cast",
        "CastLike",
        "Ceil",
        "Clip",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "Cos",
        "CumSum",
        "DequantizeLinear",
        "Div",
        "Equal",
        "Exp",
        "Expand",
        "EyeLike",
        "Flatten",
        "Floor",
        "Gather",
        "GatherElements",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "Less",
        "LessOrEqual",
        "Log",
        "Max",
        "Mean",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "OneHot",
        "Or",
        "Pow",
        "QuantizeLinear",
        "Range",
        "Reciprocal",
        "ReduceL1",
        "ReduceL2",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
        "Relu",
        "Reshape",
        "Round",
        "Shape",
        "Sigmoid",
        "Sign",
        "Sin",
        "Size",
        "Slice",
        "Softmax",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Tanh",
        "Tile",
        "Transpose",
        "Trilu",
        "Unsqueeze",
        "Where",
        "Xor",
    ]
)
_PRODUCTS = frozenset({"MatMul", "Gemm"})
# Products of numbers that a node of _PRODUCTS may take: seconds.
_MOST_PRODUCTS = 1 << 33
# For the rest, which runs element by element or through larger arrays: elements in and out, and pairs of them.
_MOST_SLOW, _MOST_PAIRS = 1 << 18, 1 << 28
# All nodes together may make this many elements (1 GiB of float32: the largest classifiers have their weights made by
# ConstantOfShape in tests of exchange), and so many for each of the file's own: what is made of weights is about as large.
_MOST_FOLDED, _GROWTH = 1 << 28, 8

# Arrays up to this size are shown to shape inference: they may be shapes, axes or repeats.
_SHAPE_LIKE = 64


def tensor_array(tensor: onnx.TensorProto) -> NDArray[Any]:
    """Return the array of an initializer or attribute.

    Raises:
        InvalidGraph: its data does not fit its shape.
    """
    try:
        if any(dimension < 0 for dimension in tensor.dims):
            raise ValueError("negative dimension")
        return np.asarray(numpy_helper.to_array(tensor))
    except (KeyError, TypeError, ValueError):
        raise InvalidGraph(
            f"the data of {tensor.name!r} does not fit its shape {list(tensor.dims)} and type"
        ) from None


def constant_array(node: OnnxNode) -> NDArray[Any]:
    """Return the array of a Constant node."""
    if "value" in node.attributes:
        return tensor_array(node.attributes["value"].t)
    for key, dtype in (("value_float", np.float32), ("value_int", np.int64)):
        for name in (key, key + "s"):
            if name in node.attributes:
                return np.array(onnx.helper.get_attribute_value(node.attributes[name]), dtype)
    raise NotSupported("it is neither dense nor numeric")


def foldable(node: OnnxNode, scope: Scope) -> bool:
    """Whether a node depends on constants alone, or is the Shape of a value."""
    given = [name for name in node.inputs if name]
    if node.operator == "Constant" or (node.operator == "Shape" and len(given) == 1):
        return True
    return bool(given) and all(scope.is_constant(name) for name in given)


def fold(node: OnnxNode, scope: Scope) -> None:
    """Define the outputs of a foldable node.

    Raises:
        NotSupported: the node is random, contains graphs, calculates with the free batch, fails,
            or makes, with those before it, more elements than a tensor may have.
    """
    if node.operator == "Constant":
        array = constant_array(node)
        scope.stored_elements += array.size
        scope.define_array(node.outputs[0], array)
        return
    if node.operator == "Shape" and scope.is_value(node.inputs[0]):
        _fold_shape(node, scope)
        return
    batch_dependent = any(scope.is_batch_dependent(name) for name in node.inputs)
    if batch_dependent and not _keeps_batch(node, scope):
        raise NotSupported("it calculates with the free batch")
    if node.operator in _RANDOM or any(
        attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
        for attribute in node.attributes.values()
    ):
        raise NotSupported("")
    arrays = {name: scope.raw_array(name) for name in node.inputs if name}
    if batch_dependent and node.operator in _BATCH_FILLING:
        # One sample of what is the same for all: operators broadcast it.
        arrays = {
            name: np.where(array == 0, 1, array) if scope.is_batch_dependent(name) else array
            for name, array in arrays.items()
        }
    for name, array in zip(node.outputs, _run(node, arrays, scope), strict=True):
        if name:
            # Every known dimension is positive: a 0 can only be the batch.
            marked = (
                batch_dependent
                and node.operator not in (*_BATCH_FILLING, "Equal", "Shape")
                and bool((array == 0).any())
            )
            scope.define_array(name, array, batch_dependent=marked)


def _keeps_batch(node: OnnxNode, scope: Scope) -> bool:
    """Whether a node does with 0, in the place of the free batch, what it would do with any number of samples."""
    arrays = [scope.raw_array(name) for name in node.inputs if name]
    match node.operator:
        case "Shape":  # the number of its elements, not the elements
            return True
        case "Reshape":
            return not scope.is_batch_dependent(node.input(1))
        case "Where":  # it chooses elements; its condition is no size
            return not scope.is_batch_dependent(node.input(0))
        case "Expand" | "ConstantOfShape":  # only its shape may be, in front
            shape = arrays[-1].reshape(-1)
            given = arrays[0] if len(arrays) == 2 else np.empty(0)
            leading = given.shape[:1] if given.ndim == shape.size else (1,)
            return (
                not (len(arrays) == 2 and scope.is_batch_dependent(node.input(0)))
                and leading == (1,)
                and not (shape[1:] == 0).any()
            )
        case "Equal" | "Mul":
            # No number of samples equals what is negative; and N * 1 = N.
            a, b = np.broadcast_arrays(*arrays)
            at_batch = np.zeros(a.shape, np.bool_)
            for name, own in zip(node.inputs, (a, b), strict=True):
                at_batch |= scope.is_batch_dependent(name) & (own == 0)
            others = np.where(a == 0, b, a)[at_batch]
            return bool((others < 0).all() if node.operator == "Equal" else (others == 1).all())
        case _:
            return node.operator in _BATCH_KEEPING


def _fold_shape(node: OnnxNode, scope: Scope) -> None:
    shape: Shape = scope.shape(node.inputs[0])
    start, end = node.integer("start", 0), node.integer("end", len(shape))
    part = shape[start:end]
    scope.define_array(
        node.outputs[0],
        np.array([0 if d is None else d for d in part], np.int64),
        batch_dependent=None in part,
    )


def _run(node: OnnxNode, arrays: dict[str, NDArray[Any]], scope: Scope) -> list[NDArray[Any]]:
    """Return the outputs of one node, computed by onnx's reference implementation."""
    model = _one_node_model(node, arrays)
    try:
        elements = _output_elements(model, arrays)
        if elements is None:
            raise NotSupported("the size of its output cannot be found before it runs")
        scope.folded_elements += elements
        most = min(_MOST_FOLDED + _GROWTH * scope.stored_elements, LARGEST_TENSOR)
        if scope.folded_elements > most:
            raise NotSupported(f"it makes {elements} elements; all such nodes may make {most}")
        _bound_work(node, arrays, elements)
        with np.errstate(
            all="ignore"
        ):  # values that are not finite are found where they are used
            results = ReferenceEvaluator(model).run(None, arrays)
    except NotSupported:
        raise
    except Exception as error:  # reference implementations raise errors of every kind
        reason = str(error).strip().split("\n")[0]
        raise NotSupported(f"it cannot be computed from its constants: {reason}") from None
    computed = iter(results)
    return [np.asarray(next(computed)) if name else np.empty(0) for name in node.outputs]


def _bound_work(node: OnnxNode, arrays: Mapping[str, NDArray[Any]], elements: int) -> None:
    """Prove that a node is computed in seconds, and in memory of the order of what it reads and makes.

    Raises:
        NotSupported: it is not.
    """
    if node.operator in _QUICK:
        return
    if node.operator in _PRODUCTS:
        longest = max((size for array in arrays.values() for size in array.shape), default=1)
        if elements * longest > _MOST_PRODUCTS:
            raise NotSupported(
                f"it is a constant of {elements} sums of up to {longest} products"
            )
        return
    read = [array.size for array in arrays.values() if array.size > 1]
    if sum(read) + elements > _MOST_SLOW or math.prod(read) * elements > _MOST_PAIRS:
        raise NotSupported(
            f"it is a constant, of {elements} elements, that takes too long to find"
        )


def _one_node_model(node: OnnxNode, arrays: dict[str, NDArray[Any]]) -> onnx.ModelProto:
    graph = onnx.helper.make_graph(
        [node.proto],
        "fold",
        [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in arrays.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in node.outputs if name],
    )
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", node.opset)]
    )


def _output_elements(model: onnx.ModelProto, arrays: dict[str, NDArray[Any]]) -> int | None:
    """Return how many elements a one-node model makes, None where shapes do not tell."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.initializer.extend(
        numpy_helper.from_array(array, name)
        for name, array in arrays.items()
        if array.size <= _SHAPE_LIKE
    )
    inferred = onnx.shape_inference.infer_shapes(probe, strict_mode=True)
    total = 0
    for output in inferred.graph.output:
        kind = output.type.tensor_type
        if not kind.HasField("shape") or not all(
            d.HasField("dim_value") for d in kind.shape.dim
        ):
            return None
        total += math.prod(d.dim_value for d in kind.shape.dim)
    return total
