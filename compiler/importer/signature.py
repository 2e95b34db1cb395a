"""What goes into a model and out of it: the types and shapes of graph inputs."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from intlower.compiler.errors import DynamicShape, ModelError
from intlower.compiler.graph import Value
from intlower.compiler.operators import Shape

_FLOAT_TYPES = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


def graph_inputs(graph: onnx.GraphProto, overrides: Mapping[str, Shape]) -> tuple[Value, ...]:
    """Return the inputs of a graph; initializers that are listed as inputs (IR below 4) are none.

    Args:
        graph: the ONNX graph.
        overrides: shapes that take the place of those in the file, by input name.

    Raises:
        ModelError: there is no input or no output, an input is not a float tensor, or an override does not fit.
        DynamicShape: a dimension other than the batch is not known.
    """
    initializers = {tensor.name for tensor in graph.initializer}
    inputs = [info for info in graph.input if info.name not in initializers]
    names = [info.name for info in inputs]
    if not inputs:
        raise ModelError("the model has no inputs")
    if not graph.output:
        raise ModelError("the model has no outputs", "export it with the values to compute")
    for name in overrides:
        if name not in names:
            raise ModelError(
                f"the model has no input {name!r} to give a shape",
                f"its inputs are {', '.join(map(repr, names))}",
            )
    return tuple(
        Value(name=info.name, shape=_input_shape(info, overrides.get(info.name)))
        for info in inputs
    )


def _input_shape(info: onnx.ValueInfoProto, override: Shape | None) -> Shape:
    name, tensor = info.name, info.type.tensor_type
    if not info.type.HasField("tensor_type"):
        raise ModelError(f"input {name!r} is not a tensor, which every input must be")
    if tensor.elem_type not in _FLOAT_TYPES:
        kinds = {number: kind.lower() for kind, number in onnx.TensorProto.DataType.items()}
        raise ModelError(
            f"input {name!r} is of type {kinds.get(tensor.elem_type, 'unknown')}, not float32",
            "export the model so that it takes float32",
        )
    declared = _known_dimensions(tensor)
    shape = declared if override is None else override
    if len(declared) != len(shape) or any(d is not None and d < 1 for d in shape):
        raise ModelError(
            f"the shape {_spell(shape)} cannot be that of input {name!r}, "
            f"which is {_spell(declared)} in the file"
        )
    dynamic = [str(axis) for axis, d in enumerate(shape) if axis > 0 and d is None]
    if dynamic:
        example = ",".join(["N", *(str(d or 224) for d in shape[1:])])
        plural = "es" if len(dynamic) > 1 else ""
        raise DynamicShape(
            f"the size of input {name!r} is not known at ax{plural or 'is'} "
            f"{' and '.join(dynamic)}: its shape is {_spell(shape)}",
            f"re-export with a fixed size or pass `--shape {name}={example}` "
            "(N, for any batch, or a number at the front)",
        )
    return shape


def _known_dimensions(tensor: onnx.TypeProto.Tensor) -> Shape:
    """Return the shape of a tensor type, None for each dimension that is symbolic, 0 or -1."""
    return tuple(d.dim_value if d.dim_value > 0 else None for d in tensor.shape.dim)


def _spell(shape: Shape) -> str:
    dimensions = ("?" if d is None else str(d) for d in shape[1:])
    first = ("N" if d is None else str(d) for d in shape[:1])
    return "[" + ", ".join((*first, *dimensions)) + "]"


def inferred_shapes(model: onnx.ModelProto, inputs: tuple[Value, ...]) -> dict[str, Shape]:
    """Return the shapes that ONNX finds for a model's values: those after nodes that we cannot read.

    Values whose shape it does not find, but for a free batch, are left out.
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    shapes = {value.name: value.shape for value in inputs}
    for info in probe.graph.input:
        if info.name in shapes:
            dimensions = ["N" if d is None else d for d in shapes[info.name]]
            info.CopyFrom(
                onnx.helper.make_tensor_value_info(
                    info.name, info.type.tensor_type.elem_type, dimensions
                )
            )
    try:
        graph = onnx.shape_inference.infer_shapes(probe).graph
    except (ValueError, onnx.shape_inference.InferenceError):  # too large, or contradictory
        return {}
    found: dict[str, Shape] = {}
    for info in (*graph.value_info, *graph.output):
        tensor = info.type.tensor_type
        if tensor.elem_type in _FLOAT_TYPES and tensor.HasField("shape"):
            shape = _known_dimensions(tensor)
            if None not in shape[1:]:
                found[info.name] = shape
    return found
