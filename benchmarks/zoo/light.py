"""The light models of the onnx package: the graphs of published networks, their weights filled with one constant each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnx.backend import test as backend_test

from benchmarks.zoo.model import images

NAMES = (
    *("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50"),
    *("shufflenet", "squeezenet", "vgg19", "zfnet512"),
)
_STATISTICS_BATCH = 4


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
    """Return a model with random weights in the place of constant fills; changed in place.

    Small parameters are in the files as they were trained, for weights that are not there: they are drawn too.
    """
    random = np.random.default_rng(0)
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            arrays[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    fills = {
        n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "ConstantOfShape"
    }
    scales, shifts = _scales_and_shifts(model)
    drawn = [*fills, *sorted((scales | shifts) & set(arrays))]
    for name in drawn:
        shape = arrays[fills[name]].tolist() if name in fills else arrays[name].shape
        if len(shape) > 1:
            deviation = np.float32((2 / np.prod(shape[1:])) ** 0.5)
            array = random.standard_normal(shape, np.float32) * deviation
        elif name in scales:
            array = random.uniform(0.5, 1.5, shape).astype(np.float32)
        else:
            array = random.standard_normal(shape, np.float32) * np.float32(0.1)
        arrays[name] = array
    kept = [t for t in model.graph.initializer if t.name not in drawn]
    nodes = [node for node in model.graph.node if node.op_type != "ConstantOfShape"]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(
        (*kept, *(numpy_helper.from_array(arrays[name], name) for name in drawn))
    )
    model.graph.node.extend(nodes)
    model.ir_version = 8  # from 4 on, initializers need not be inputs
    return model


def _scales_and_shifts(model: onnx.ModelProto) -> tuple[set[str], set[str]]:
    """Return the names of what scales channels and of what shifts them, in norms and in Caffe's scale layers."""
    scales, shifts = set[str](), set[str]()
    made_3d = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "Unsqueeze"}
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            scales.add(node.input[1])
            shifts.add(node.input[2])
        elif node.op_type in ("Mul", "Add") and node.input[1] in made_3d:
            (scales if node.op_type == "Mul" else shifts).add(made_3d[node.input[1]])
    return scales, shifts


def _settled(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model whose batch norms have the statistics of smooth noise; changed in place."""
    norms = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    if not norms:
        return model
    known = {tensor.name for tensor in model.graph.initializer}
    image = next(value for value in model.graph.input if value.name not in known)
    shape = tuple(d.dim_value for d in image.type.tensor_type.shape.dim)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        _measuring(model, image.name).SerializeToString(), options
    )
    wanted = [output.name for output in session.get_outputs()]
    batch = {image.name: images(shape[1:], _STATISTICS_BATCH, 0)}
    statistics = dict(zip(wanted, session.run(wanted, batch), strict=True))
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in norms:
        for name, statistic in ((node.input[3], "mean"), (node.input[4], "variance")):
            array = statistics[f"{node.output[0]}/{statistic}"].reshape(-1)
            tensors[name].CopyFrom(numpy_helper.from_array(array, name))
    return model


def _measuring(model: onnx.ModelProto, image: str) -> onnx.ModelProto:
    """Return a model of any batch whose batch norms normalize by the batch's statistics, which are its outputs."""
    measuring = onnx.ModelProto()
    measuring.CopyFrom(model)
    graph = measuring.graph
    for value in graph.input:
        if value.name == image:
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    targets = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for tensor in graph.initializer:
        if tensor.name in targets:
            sizes = numpy_helper.to_array(tensor).copy()
            sizes[0] = 0  # as it comes, instead of the 1 that is written there
            tensor.CopyFrom(numpy_helper.from_array(sizes, tensor.name))
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
