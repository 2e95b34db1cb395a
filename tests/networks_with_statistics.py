"""Graphs with batch norm folded whose recorded moments are those of given inputs: synthesis can reach them."""

from __future__ import annotations

import numpy as np
import torch

from intlower.compiler.constant import Constant
from intlower.compiler.evaluate import forward
from intlower.compiler.graph import Graph, Moments, Node, Value
from intlower.compiler.operators import (
    Activation,
    Add,
    AnyOperator,
    Clip,
    Conv,
    Flatten,
    Gemm,
    GlobalAveragePool,
    Relu,
    Shape,
    Softmax,
)

SAME = (1, 1, 1, 1)


class NetworkWithStatistics:
    """A folded network under construction, whose moments are then measured on given inputs: the true ones."""

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.inputs = (Value(name="x", shape=shape),)
        self.nodes: list[Node] = []
        self.constants: dict[str, Constant] = {}

    def add(
        self,
        operator: AnyOperator,
        inputs: str,
        weights: tuple[int, ...] = (),
        activation: Activation | None = None,
    ) -> str:
        """Append a node, with random weights and a bias where a shape is given; return its output."""
        name = f"v{len(self.nodes)}"
        names = list(inputs.split())
        if weights:
            fan_in = int(np.prod(weights[1:]))
            drawn = self.random.standard_normal(weights) * (2 / fan_in) ** 0.5
            drawn += (
                self.random.standard_normal((weights[0], *(1,) * (len(weights) - 1))) / fan_in
            )
            self.constants[f"{name}_w"] = Constant.of(drawn, np.float32)
            bias = 0.3 * self.random.standard_normal(weights[0])
            self.constants[f"{name}_b"] = Constant.of(bias, np.float32)
            names += [f"{name}_w", f"{name}_b"]
        self.nodes.append(
            Node(
                name=name,
                operator=operator,
                inputs=tuple(names),
                output=name,
                activation=activation,
            )
        )
        return name

    def graph(self, measured_on: np.ndarray | None, outputs: int = 1) -> Graph:
        """Return the graph; every layer but the last `outputs` nodes gets the moments of these inputs."""
        graph = Graph(
            inputs=self.inputs,
            outputs=(self.nodes[-1].output,),
            nodes=tuple(self.nodes),
            constants=self.constants,
        )
        if measured_on is None:
            return graph
        moments: dict[str, Moments] = {}
        layers = {node.output for node in self.nodes[:-outputs] if len(node.inputs) == 3}

        def tap(node: Node, result: torch.Tensor) -> torch.Tensor:
            if node.output in layers:
                array = result.numpy().astype(np.float64)
                axes = (0, *range(2, array.ndim))
                moments[node.output] = Moments.of(array.mean(axes), array.std(axes))
            return result

        forward(graph, {"x": torch.tensor(measured_on)}, tap=tap)
        return graph.edit(moments=moments)


def pictures(count: int, channels: int, height: int, width: int) -> np.ndarray:
    """Return smooth random images with the mean and std of pixels in [0, 1]."""
    generator = np.random.default_rng(5)
    coarse = generator.uniform(0, 1, (count, channels, height // 4 + 1, width // 4 + 1))
    fine = np.kron(coarse, np.ones((1, 1, 4, 4)))[:, :, :height, :width]
    grey = fine.mean(axis=1, keepdims=True)
    return np.clip(0.7 * grey + 0.3 * fine, 0, 1).astype(np.float32)


def small_classifier(
    channels: int = 3, height: int = 16, width: int = 16, seed: int = 0
) -> Graph:
    """Return a residual network with depthwise layers, dead channels and a classifier."""
    network = NetworkWithStatistics((None, channels, height, width), seed)
    first = network.add(Conv(pads=SAME), "x", (8, channels, 3, 3), Clip(minimum=0, maximum=6))
    network.constants["v0_w"] = Constant.of(
        network.constants["v0_w"].array * (np.arange(8) != 2).reshape(-1, 1, 1, 1)
    )
    depthwise = network.add(Conv(pads=SAME, groups=8), first, (8, 1, 3, 3), Relu())
    branch = network.add(Conv(), depthwise, (8, 8, 1, 1))
    joined = network.add(Add(), f"{first} {branch}")
    last = network.add(Conv(pads=SAME, strides=(2, 2)), joined, (12, 8, 3, 3), Relu())
    features = network.add(Flatten(), network.add(GlobalAveragePool(), last))
    network.add(Softmax(), network.add(Gemm(), features, (5, 12)))
    return network.graph(pictures(64, channels, height, width), outputs=2)
