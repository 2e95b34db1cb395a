"""The light models of the onnx package: the graphs of published networks, their weights filled with one constant each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.backend import test as backend_test

from benchmarks.zoo.model import images

NAMES = (
    *("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50"),
    *("shufflenet", "squeezenet", "vgg19", "zfnet512"),
)
_STATISTICS_BATCHES = 4  # of one image: the files have a fixed batch


def light_model(name: str) -> onnx.ModelProto:
    """Return a light model with seeded weights and the statistics that belong to them.

    Args:
        name: one of NAMES.

    Raises:
        FileNotFoundError: this release of onnx does not ship it.
    """
    folder = Path(next(iter(backend_test.__path__))) / "data" / "light"
    return _settled(_with_drawn_weights(onnx.load(folder / f"light_{name}.onnx")))


def _with_drawn_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model whose constant fills are replaced by random weights; changed in place."""
    random = np.random.default_rng(0)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    positions = {"BatchNormalization": (2,), "Conv": (2,), "Gemm": (2,)}
    shifts = {
        name
        for node in model.graph.node
        for name in (node.input[i] for i in positions.get(node.op_type, ()) if i < len(node.input))
    }
    # Caffe's normalization has its scale and shift in nodes of their own: 1-D tensors, made 3-D.
    made_3d = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "Unsqueeze"}
    shifts |= {made_3d.get(n.input[1], "") for n in model.graph.node if n.op_type == "Add"}
    kept = []
    for node in model.graph.node:
        if node.op_type == "Constant":
            shapes[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        name, shape = node.output[0], [int(size) for size in shapes[node.input[0]]]
        if len(shape) > 1:
            deviation = np.float32((2 / np.prod(shape[1:])) ** 0.5)
            array = random.standard_normal(shape, np.float32) * deviation
        elif name in shifts:
            array = random.standard_normal(shape, np.float32) * np.float32(0.1)
        else:
            array = random.uniform(0.5, 1.5, shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    model.ir_version = 8  # from 4 on, initializers need not be inputs
    return model


def _settled(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model whose batch norms have the statistics of smooth noise; changed in place."""
    norms = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    if not norms:
        return model
    known = {tensor.name for tensor in model.graph.initializer}
    image = next(value for value in model.graph.input if value.name not in known)
    shape = tuple(d.dim_value for d in image.type.tensor_type.shape.dim)
    session = onnxruntime.InferenceSession(_measuring(model).SerializeToString())
    wanted = [output.name for output in session.get_outputs()]
    totals: Mapping[str, list[NDArray[np.float32]]] = {name: [] for name in wanted}
    for batch in images(shape, _STATISTICS_BATCHES, 0):
        for name, array in zip(wanted, session.run(wanted, {image.name: batch}), strict=True):
            totals[name].append(array.reshape(-1))
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in norms:
        for name, statistic in ((node.input[3], "mean"), (node.input[4], "variance")):
            array = np.mean(totals[f"{node.output[0]}/{statistic}"], axis=0)
            tensors[name].CopyFrom(numpy_helper.from_array(array.astype(np.float32), name))
    return model


def _measuring(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model whose batch norms normalize by the statistics of the batch, which are its outputs."""
    measuring = onnx.ModelProto()
    measuring.CopyFrom(model)
    graph = measuring.graph
    del graph.node[:], graph.output[:]
    axes = {"axes": [0, 2, 3], "keepdims": 1}
    for node in model.graph.node:
        if node.op_type != "BatchNormalization":
            graph.node.append(node)
            continue
        x, scale, shift, y = *node.input[:3], node.output[0]
        eps = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        graph.initializer.append(numpy_helper.from_array(np.float32(eps), f"{y}/epsilon"))
        channels = numpy_helper.from_array(np.array([-1, 1, 1], np.int64), f"{y}/shape")
        graph.initializer.append(channels)
        graph.node.extend(
            (
                helper.make_node("ReduceMean", [x], [f"{y}/mean"], **axes),
                helper.make_node("Sub", [x, f"{y}/mean"], [f"{y}/centred"]),
                helper.make_node("Mul", [f"{y}/centred"] * 2, [f"{y}/square"]),
                helper.make_node("ReduceMean", [f"{y}/square"], [f"{y}/variance"], **axes),
                helper.make_node("Add", [f"{y}/variance", f"{y}/epsilon"], [f"{y}/positive"]),
                helper.make_node("Sqrt", [f"{y}/positive"], [f"{y}/deviation"]),
                helper.make_node("Div", [f"{y}/centred", f"{y}/deviation"], [f"{y}/normal"]),
                helper.make_node("Reshape", [scale, f"{y}/shape"], [f"{y}/scale"]),
                helper.make_node("Reshape", [shift, f"{y}/shape"], [f"{y}/shift"]),
                helper.make_node("Mul", [f"{y}/normal", f"{y}/scale"], [f"{y}/scaled"]),
                helper.make_node("Add", [f"{y}/scaled", f"{y}/shift"], [y]),
            )
        )
        for statistic in ("mean", "variance"):
            graph.output.append(
                helper.make_tensor_value_info(
                    f"{y}/{statistic}", onnx.TensorProto.FLOAT, [1, None, 1, 1]
                )
            )
    return measuring
