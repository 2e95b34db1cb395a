from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_building import graph_of

from intlower.backends.snpe import TARGET as SNPE
from intlower.backends.tensorrt import TARGET as TENSORRT
from intlower.backends.vitis import TARGET as VITIS
from intlower.compiler.discovery import load_target, target_names
from intlower.compiler.errors import UnsupportedByTarget
from intlower.compiler.graph import Graph
from intlower.compiler.operators import (
    Add,
    Elementwise,
    Function,
    LayerNormalization,
    MatMul,
    Relu,
    Softmax,
)
from intlower.compiler.placement import Place, check_operators, placed, runs_on_host
from intlower.compiler.spec import Contract

SHAPE = (None, 3, 4)
RELU = graph_of({"x": SHAPE}, [(Relu(), "x", "y")], "y")
SIGMOID = graph_of({"x": SHAPE}, [(Elementwise(function=Function.SIGMOID), "x", "y")], "y")
SWISH = graph_of({"x": SHAPE}, [(Elementwise(function=Function.HARD_SWISH), "x", "y")], "y")
NORM = graph_of({"x": SHAPE}, [(LayerNormalization(), "x s", "y")], "y", {"s": np.ones(4)})
PRODUCT = graph_of({"x": SHAPE, "z": (None, 4, 3)}, [(MatMul(), "x z", "y")], "y")
LAST = graph_of({"x": SHAPE}, [(Softmax(), "x", "y")], "y")
INSIDE = graph_of({"x": SHAPE}, [(Softmax(), "x", "s"), (Relu(), "s", "y")], "y")
SHIFTED = graph_of({"x": SHAPE}, [(Add(), "x c", "y")], "y", {"c": np.ones(4)})
WIDENED = graph_of({"x": SHAPE, "z": (None, 1, 4)}, [(Add(), "x z", "y")], "y")
T, H = Place.TARGET, Place.HOST


@pytest.mark.parametrize(
    ("spec", "places"),
    [
        (TENSORRT.spec, (T, T, T, H, T, T, H, T, T)),
        (SNPE.member("").spec, (T, T, T, T, T, T, T, T, T)),
        (VITIS.member("").spec, (T, H, T, H, H, T, H, T, T)),
        (load_target("nnie").spec, (T, H, H, H, H, T, H, H, H)),
        (load_target("adreno").spec, (T, H, H, H, H, T, H, H, H)),
        (load_target("ascend310").spec, (T, H, H, H, H, T, H, H, H)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_a_target_lacks_the_host_runs(spec: Contract, places: tuple[Place, ...]) -> None:
    graphs = (RELU, SIGMOID, SWISH, NORM, PRODUCT, LAST, INSIDE, SHIFTED, WIDENED)
    assert tuple(placed(spec, graph, graph.nodes[0]) for graph in graphs) == places
    assert [runs_on_host(spec, graph) for graph in graphs] == [place is H for place in places]


@pytest.mark.parametrize("name", target_names())
def test_nothing_is_both_native_and_on_the_host(name: str) -> None:
    spec = load_target(name).spec
    assert not spec.operators & spec.host


def test_what_nobody_runs_is_refused_by_name() -> None:
    spec = replace(TENSORRT.spec, host=frozenset())
    with pytest.raises(UnsupportedByTarget, match="LayerNormalization at 'node_y'") as caught:
        check_operators(NORM, spec)
    assert "MatMul" in caught.value.hint


def test_graphs_without_such_operators_pass() -> None:
    graph: Graph = RELU
    check_operators(graph, TENSORRT.spec)
