"""ResNet-18, ResNet-50 and MobileNetV2 as an exporter leaves them, with random weights: for timing only.

    python benchmarks/make_networks.py FOLDER

Speed does not depend on the weights, so none are downloaded. Batch normalization is kept, with statistics like those of
trained networks, so that ranges without data come out as they would. Layers follow He et al., "Deep Residual Learning
for Image Recognition" (2016; stride in the 3x3 layer of a bottleneck, as torchvision has it), and Sandler et al.,
"MobileNetV2" (2018).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIZE, CLASSES, SEED = 224, 1000, 0


class Network:
    """An ONNX graph under construction; each method appends a layer and returns its output's name."""

    def __init__(self, name: str, seed: int = SEED) -> None:
        self.name = name
        self.generator = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.channels = {"image": 3}

    def node(self, operator: str, inputs: list[str], channels: int, **attributes: Any) -> str:
        """Append a node with one output of so many channels."""
        output = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        self.channels[output] = channels
        return output

    def constant(self, name: str, values: NDArray[np.floating]) -> str:
        """Append a float32 initializer."""
        self.tensors.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def conv(self, x: str, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> str:
        """Append a padded convolution without bias, its weights as He et al. (2015) start them, and its BatchNorm."""
        depth = self.channels[x] // groups
        weights = self.generator.normal(size=(outputs, depth, kernel, kernel))
        weights *= np.sqrt(2 / (depth * kernel * kernel))
        weight = self.constant(f"weight_{len(self.nodes)}", weights)
        pads = [kernel // 2] * 4
        y = self.node(
            "Conv",
            [x, weight],
            outputs,
            strides=[stride] * 2,
            pads=pads,
            group=groups,
            kernel_shape=[kernel] * 2,
        )
        draw = self.generator.uniform
        statistics = {
            "scale": draw(0.5, 1.5, outputs),
            "shift": self.generator.normal(0, 0.3, outputs),
            "mean": self.generator.normal(0, 0.3, outputs),
            "variance": draw(0.5, 2.0, outputs),
        }
        names = [
            self.constant(f"{name}_{len(self.nodes)}", values)
            for name, values in statistics.items()
        ]
        return self.node("BatchNormalization", [y, *names], outputs, epsilon=1e-5)

    def relu(self, x: str) -> str:
        """Append a ReLU."""
        return self.node("Relu", [x], self.channels[x])

    def relu6(self, x: str) -> str:
        """Append a clamp to [0, 6]."""
        if "six" not in self.channels:
            self.constant("zero", np.array(0.0))
            self.constant("six", np.array(6.0))
            self.channels |= {"zero": 0, "six": 0}
        return self.node("Clip", [x, "zero", "six"], self.channels[x])

    def add(self, x: str, y: str) -> str:
        """Append a residual connection."""
        return self.node("Add", [x, y], self.channels[x])

    def classify(self, x: str) -> onnx.ModelProto:
        """Append the mean of each channel and the last layer; return the model."""
        pooled = self.node("GlobalAveragePool", [x], self.channels[x])
        flat = self.node("Flatten", [pooled], self.channels[x])
        weights = self.generator.normal(0, 0.02, (CLASSES, self.channels[x]))
        names = [
            self.constant("classifier_weight", weights),
            self.constant("classifier_bias", np.zeros(CLASSES)),
        ]
        logits = self.node("Gemm", [flat, *names], CLASSES, transB=1)
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])
        output = helper.make_tensor_value_info(logits, TensorProto.FLOAT, ["N", CLASSES])
        graph = helper.make_graph(self.nodes, self.name, [image], [output], self.tensors)
        opsets = [helper.make_opsetid("", 13)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=7)


def resnet(name: str, blocks: tuple[int, ...], bottleneck: bool) -> onnx.ModelProto:
    """Return a residual network of four stages with so many blocks each."""
    network = Network(name)
    x = network.relu(network.conv("image", 64, 7, 2))
    x = network.node("MaxPool", [x], 64, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for stage, count in enumerate(blocks):
        width = 64 << stage
        outputs = 4 * width if bottleneck else width
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            if bottleneck:
                y = network.relu(network.conv(x, width, 1))
                y = network.relu(network.conv(y, width, 3, stride))
                y = network.conv(y, outputs, 1)
            else:
                y = network.relu(network.conv(x, width, 3, stride))
                y = network.conv(y, outputs, 3)
            if stride == 2 or network.channels[x] != outputs:
                x = network.conv(x, outputs, 1, stride)
            x = network.relu(network.add(y, x))
    return network.classify(x)


def resnet18() -> onnx.ModelProto:
    """Return ResNet-18."""
    return resnet("resnet18", (2, 2, 2, 2), bottleneck=False)


def resnet50() -> onnx.ModelProto:
    """Return ResNet-50."""
    return resnet("resnet50", (3, 4, 6, 3), bottleneck=True)


def mobilenet_v2() -> onnx.ModelProto:
    """Return MobileNetV2 of width 1.0."""
    network = Network("mobilenet_v2")
    x = network.relu6(network.conv("image", 32, 3, 2))
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))
    for expansion, outputs, count, first in (*stages, (6, 160, 3, 2), (6, 320, 1, 1)):
        for block in range(count):
            stride = first if block == 0 else 1
            width = network.channels[x] * expansion
            y = network.relu6(network.conv(x, width, 1)) if expansion > 1 else x
            y = network.relu6(network.conv(y, width, 3, stride, groups=width))
            y = network.conv(y, outputs, 1)
            residual = stride == 1 and network.channels[x] == outputs
            x = network.add(x, y) if residual else y
    return network.classify(network.relu6(network.conv(x, 1280, 1)))


NETWORKS: dict[str, Callable[[], onnx.ModelProto]] = {
    function.__name__: function for function in (resnet18, resnet50, mobilenet_v2)
}


def write(name: str, folder: Path) -> Path:
    """Write one of `NETWORKS` into a folder; the same name gives the same bytes."""
    path = folder / f"{name}.onnx"
    onnx.save(NETWORKS[name](), path)
    return path


def main() -> None:
    """Write every network into the folder that the command line names."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in NETWORKS:
        print(write(name, folder))


if __name__ == "__main__":
    main()
