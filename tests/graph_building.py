"""Small graphs for tests, and the comparison of what two graphs compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.evaluate import forward
from intlower.compiler.graph import Graph, Node, Value
from intlower.compiler.operators import AnyOperator, BatchNormalization, Shape

Step = tuple[AnyOperator, str, str]  # operator, names of inputs separated by spaces, output


def graph_of(
    inputs: Mapping[str, Shape],
    steps: Sequence[Step],
    outputs: str,
    constants: Mapping[str, Any] | None = None,
) -> Graph:
    """Return a graph whose nodes are called after their outputs: `node_<output>`."""
    return Graph(
        inputs=tuple(Value(name=name, shape=shape) for name, shape in inputs.items()),
        outputs=tuple(outputs.split()),
        nodes=tuple(
            Node(
                name=f"node_{output}",
                operator=operator,
                inputs=tuple(names.split()),
                output=output,
            )
            for operator, names, output in steps
        ),
        constants={
            name: Constant.of(array, np.float32) for name, array in (constants or {}).items()
        },
    )


def operators(graph: Graph) -> list[str]:
    """Return the names of the nodes' operators, in order."""
    return [type(node.operator).__name__ for node in graph.nodes]


def normalization(
    generator: np.random.Generator, prefix: str, channels: int, epsilon: float = 1e-5
) -> tuple[BatchNormalization, str, dict[str, NDArray[Any]]]:
    """Return a random normalization, the names of its parameters, and these; some variances are 0."""
    parameters = {
        f"{prefix}_scale": generator.uniform(-2, 2, channels),
        f"{prefix}_shift": generator.normal(size=channels),
        f"{prefix}_mean": generator.normal(size=channels),
        f"{prefix}_variance": generator.uniform(0, 3, channels)
        * (generator.uniform(size=channels) > 0.1),
    }
    return BatchNormalization(epsilon=epsilon), " ".join(parameters), parameters


def random_inputs(
    graph: Graph, generator: np.random.Generator, batch: int = 3
) -> dict[str, torch.Tensor]:
    """Return normal float64 inputs for a graph."""
    return {
        value.name: torch.from_numpy(
            generator.normal(size=[batch if d is None else d for d in value.shape])
        )
        for value in graph.inputs
    }


def assert_same_function(
    before: Graph, after: Graph, *, tolerance: float = 0.0, seed: int = 0, batch: int = 3
) -> None:
    """Assert that two graphs give the same outputs for random inputs, computed in float64.

    Args:
        before: the one graph.
        after: the other, with the same inputs and output names.
        tolerance: the largest difference allowed, relative to the largest magnitude of an output.
        seed: of the inputs.
        batch: samples where the batch is free.
    """
    assert after.inputs == before.inputs
    assert after.outputs == before.outputs
    inputs = random_inputs(before, np.random.default_rng(seed), batch)
    expected, actual = forward(before, inputs), forward(after, inputs)
    for name in before.outputs:
        assert after.values[name].shape == before.values[name].shape
        difference = (actual[name] - expected[name]).abs().max().item()
        assert difference <= tolerance * expected[name].abs().max().item()
