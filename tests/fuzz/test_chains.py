"""Networks of thousands of nodes in a row: no recursion, and time that grows as the network does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from networks import NetworkBuilder

from intlower.backends.lowering.drift import Drift
from intlower.compiler.errors import IntlowerError
from intlower.compiler.graph import Graph, Node, Value
from intlower.compiler.operators import Add
from intlower.compiler.pipeline import compile_model

LENGTHS = {"relu": 10_000, "scale": 10_000}
OTHERS = 2_000
MOST_SECONDS = 10

# Operator, further inputs (constants by name), attributes. Nodes that vanish, and nodes that are folded one by one.
CHAINS: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    "relu": ("Relu", (), {}),
    "identity": ("Identity", (), {}),
    "reshape": ("Reshape", ("target",), {}),
    "concat": ("Concat", (), {"axis": 1}),
    "pool": ("MaxPool", (), {"kernel_shape": [1, 1]}),
    "scale": ("Mul", ("one",), {}),
    "shift": ("Sub", ("half",), {}),
    "normalization": ("BatchNormalization", ("gain", "zero", "zero", "gain"), {}),
}


def chain(kind: str, length: int) -> onnx.ModelProto:
    """Return a convolution followed by so many nodes of one kind, all of them of the same name."""
    b = NetworkBuilder()
    constants = {
        "target": b.integers(0, 2, 3, 3),
        "one": b.constant([1.0]),
        "half": b.constant([0.5]),
        "gain": b.constant([1.0, 1.0]),
        "zero": b.constant([0.0, 0.0]),
    }
    operator, more, attributes = CHAINS[kind]
    x = b.conv("x", 2, 2, 1)
    for i in range(length):
        b.nodes.append(
            onnx.helper.make_node(
                operator, [x, *(constants[n] for n in more)], [f"y{i}"], "same", **attributes
            )
        )
        x = f"y{i}"
    used = {name for node in b.nodes for name in node.input}
    b.initializers = [tensor for tensor in b.initializers if tensor.name in used]
    return b.model({"x": ["N", 2, 3, 3]}, x)


@pytest.mark.filterwarnings("ignore::intlower.compiler.errors.CalibrationWarning")
@pytest.mark.parametrize("kind", CHAINS)
def test_thousands_of_nodes_in_a_row_take_seconds(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(chain(kind, LENGTHS.get(kind, OTHERS)), path)
    begin = time.process_time()
    try:
        program = compile_model(path, target="tensorrt")
    except IntlowerError as error:
        pytest.fail(f"refused: {error}")
    assert len(program.instructions) < 10
    assert time.process_time() - begin < MOST_SECONDS


def test_shifts_of_means_are_followed_once_however_many_paths_there_are() -> None:
    nodes = [
        Node(name=f"n{i}", operator=Add(), inputs=(f"v{i}", f"v{i}"), output=f"v{i + 1}")
        for i in range(3000)
    ]
    graph = Graph(
        inputs=(Value(name="v0", shape=(None, 1)),),
        outputs=("v3000",),
        nodes=tuple(nodes),
        constants={},
    )
    assert Drift(graph, {}).of("v3000") is None
    drift = Drift(graph, {})
    drift.record(nodes[0], np.array([0.5]))
    assert drift.of("v11") == np.array([512.0])
