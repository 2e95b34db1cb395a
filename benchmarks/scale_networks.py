"""Networks of many sizes, with random weights: for the time and memory that compiling takes.

Layers follow Simonyan and Zisserman, "Very Deep Convolutional Networks" (2015; with batch normalization, as torchvision's
vgg19_bn has it) and the EfficientNet-Lite0 of tensorflow/tpu (no squeeze and excitation, ReLU6).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from make_networks import CLASSES, SIZE, Network, resnet, resnet18, resnet50
from onnx import TensorProto, helper


def resnet152() -> onnx.ModelProto:
    """Return ResNet-152."""
    return resnet("resnet152", (3, 8, 36, 3), bottleneck=True)


def efficientnet_lite0() -> onnx.ModelProto:
    """Return EfficientNet-Lite0."""
    network = Network("efficientnet_lite0")
    x = network.relu6(network.conv("image", 32, 3, 2))
    stages = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3))
    later = ((6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3))
    for expansion, outputs, count, first, kernel in (*stages, *later):
        for block in range(count):
            stride = first if block == 0 else 1
            width = network.channels[x] * expansion
            y = network.relu6(network.conv(x, width, 1)) if expansion > 1 else x
            y = network.relu6(network.conv(y, width, kernel, stride, groups=width))
            y = network.conv(y, outputs, 1)
            x = network.add(x, y) if stride == 1 and network.channels[x] == outputs else y
    return network.classify(network.relu6(network.conv(x, 1280, 1)))


def vgg19() -> onnx.ModelProto:
    """Return VGG-19: most of its weights are those of one layer."""
    network = Network("vgg19")
    x = "image"
    for stage, count in enumerate((2, 2, 4, 4, 4)):
        for _ in range(count):
            x = network.relu(network.conv(x, min(64 << stage, 512), 3))
        channels = network.channels[x]
        x = network.node("MaxPool", [x], channels, kernel_shape=[2, 2], strides=[2, 2])
    x, width = network.node("Flatten", [x], 512 * 49), 512 * 49
    for layer, outputs in enumerate((4096, 4096, CLASSES)):
        spread = np.float32(np.sqrt(2 / width))
        weights = network.generator.standard_normal((outputs, width), np.float32) * spread
        names = [
            network.constant(f"full_weight_{layer}", weights),
            network.constant(f"full_bias_{layer}", np.zeros(outputs)),
        ]
        x = network.node("Gemm", [x, *names], outputs, transB=1)
        x = x if outputs == CLASSES else network.relu(x)
        width = outputs
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])
    output = helper.make_tensor_value_info(x, TensorProto.FLOAT, ["N", CLASSES])
    graph = helper.make_graph(network.nodes, network.name, [image], [output], network.tensors)
    opsets = [helper.make_opsetid("", 13)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=7)


def chain(layers: int) -> onnx.ModelProto:
    """Return a network of so many layers in a row, every tenth closing a residual connection."""
    network = Network(f"chain_{layers}")
    x = network.relu(network.conv("image", 16, 3, 8))
    kept = x
    for layer in range(1, layers - 1):
        x = network.conv(x, 16, 3)
        if layer % 10 == 0:
            x = kept = network.add(x, kept)
        x = network.relu(x)
    return network.classify(x)


NETWORKS: dict[str, Callable[[], onnx.ModelProto]] = {
    "resnet18": resnet18,
    "resnet50": resnet50,
    "resnet152": resnet152,
    "efficientnet_lite0": efficientnet_lite0,
    "vgg19": vgg19,
    "chain_500": lambda: chain(500),
    "chain_1000": lambda: chain(1000),
    "chain_2000": lambda: chain(2000),
}
