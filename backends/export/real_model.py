"""The float network of a program in any number system, as ONNX, from its layers of reals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper

from intlower.backends.export.float_model import FloatGraph
from intlower.backends.export.qdq import real_edge
from intlower.backends.export.real_layers import RealLayer, real_layers
from intlower.compiler.errors import ExportError
from intlower.compiler.program import IntegerProgram

_OPSET, _IR_VERSION = 17, 8

# Writes a layer without its limits: (nodes so far, layer, name of the result) -> None.
Writer = Callable[[FloatGraph, RealLayer, str], None]


def write_float(graph: FloatGraph, layer: RealLayer, result: str) -> None:
    """Write one layer as a float operator, without its limits.

    Args:
        graph: to add to.
        layer: what to write.
        result: name of the value.
    """
    name = layer.name
    inputs = list(layer.inputs)
    if layer.weights is not None and layer.bias is not None:
        inputs += [
            graph.constant(f"{name}/weights", layer.weights),
            graph.constant(f"{name}/bias", layer.bias),
        ]
    write_operator(graph, layer, inputs, result, name)
    if layer.operator == "average_pool" and not (layer.share == 1).all():
        mean = graph.fresh(f"{layer.output}/mean")
        graph.nodes[-1].output[0] = mean
        share = graph.constant(f"{name}/share", layer.share[None, None].astype(np.float32))
        graph.add("Mul", [mean, share], result)


def write_operator(
    graph: FloatGraph, layer: RealLayer, inputs: list[str], result: str, name: str
) -> None:
    """Write the operator of a layer on values that are there.

    Args:
        graph: to add to.
        layer: which operator, with its attributes.
        inputs: names of values, weights and bias among them.
        result: name of the value.
        name: of the node.
    """
    attributes = layer.attributes
    window = {
        key: attributes[key]
        for key in ("kernel_shape", "strides", "pads", "dilations")
        if key in attributes
    }
    match layer.operator:
        case "conv2d":
            assert layer.weights is not None
            window["kernel_shape"] = layer.weights.shape[2:]
            graph.add("Conv", inputs, result, name=name, group=attributes["groups"], **window)
        case "gemm":
            graph.add("Gemm", inputs, result, name=name, transB=1)
        case "add":
            graph.add("Add", inputs, result, name=name)
        case "max_pool":
            graph.add("MaxPool", inputs, result, name=name, **window)
        case "average_pool":
            graph.add("AveragePool", inputs, result, name=name, count_include_pad=1, **window)
        case "concat":
            graph.add("Concat", inputs, result, name=name, axis=attributes["axis"])
        case "pad":
            pads = graph.constant(f"{name}/pads", np.array(attributes["pads"], np.int64))
            value = graph.constant(f"{name}/value", layer.border)
            graph.add("Pad", [*inputs, pads, value], result, name=name)
        case "slice":
            limits = [
                graph.constant(f"{name}/{key}", np.array(attributes[key], np.int64))
                for key in ("starts", "ends", "axes", "steps")
            ]
            graph.add("Slice", [*inputs, *limits], result, name=name)
        case "reshape":
            shape = graph.constant(f"{name}/shape", np.array(attributes["shape"], np.int64))
            graph.add("Reshape", [*inputs, shape], result, name=name)
        case "softmax":
            graph.add("Softmax", inputs, result, name=name, axis=attributes["axis"])
        case "clamp" | "requantize":
            graph.add("Identity", inputs, result, name=name)
        case unknown:
            raise ExportError(
                f"{name!r} is a {unknown}, which has no float form here yet",
                "the format 'json' holds every program",
            )


def _write_limits(graph: FloatGraph, layer: RealLayer, rank: int, source: str) -> None:
    """Write a layer's limits, from the value `source` to the layer's output."""
    name, output = layer.name, layer.output
    if layer.rectified:
        graph.add("Relu", [source], output)
        return
    shape = [-1, *[1] * (rank - 2)]
    sides = [
        (operator, side, limit)
        for operator, side, limit in (
            ("Max", "minimum", layer.low),
            ("Min", "maximum", layer.high),
        )
        if np.isfinite(limit).any()
    ]
    for operator, side, limit in sides:
        finite = np.clip(limit, np.finfo(np.float32).min, np.finfo(np.float32).max)
        reals = finite.reshape(shape if finite.ndim else ())
        bound = graph.constant(f"{name}/{side}", reals)
        last = side == sides[-1][1]
        result = output if last else graph.fresh(f"{output}/raised")
        graph.add(operator, [source, bound], result)
        source = result


def real_model(program: IntegerProgram, write: Writer = write_float) -> onnx.ModelProto:
    """Return a program's float network: float32 edges, host steps as the last nodes, the program's names.

    Initializers are `NAME/weights` and `NAME/bias` of the layer NAME. The same program gives the same bytes.

    Args:
        program: in any number system.
        write: how a layer is written, without its limits.
    """
    graph = FloatGraph(program)
    for layer in real_layers(program):
        result = graph.fresh(f"{layer.output}/computed") if layer.limited else layer.output
        write(graph, layer, result)
        if layer.limited:
            rank = len(program.tensors[layer.output].shape)
            _write_limits(graph, layer, rank, result)
    outputs = list(program.outputs)
    for step in program.host:
        graph.add(step.operator, [step.input], step.output, axis=step.axis)
        outputs[outputs.index(step.input)] = step.output
    shapes = dict(zip(outputs, program.outputs, strict=True))
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            program.target,
            [real_edge(program.tensors[name], name) for name in program.inputs],
            [real_edge(program.tensors[shapes[name]], name) for name in outputs],
            initializer=graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="intlower",
    )
