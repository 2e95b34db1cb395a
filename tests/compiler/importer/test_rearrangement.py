"""Transposes, squeezes, blocks, repeats, splits and gathers against onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import networks
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.compiler.errors import InvalidGraph, UnsupportedOperator
from intlower.compiler.importer import import_model

pytestmark = pytest.mark.crosscheck


@given(order=st.permutations([1, 2, 3]))
@settings(deadline=None, max_examples=6)
def test_transposes_that_keep_the_batch_agree(order: list[int]) -> None:
    b = networks.NetworkBuilder()
    y = b.node("Transpose", "x", perm=[0, *order])
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 2, 3, 4]}, y))


def test_a_fixed_batch_may_move() -> None:
    b = networks.NetworkBuilder()
    networks.assert_evaluates_as_in_onnxruntime(
        b.model({"x": [2, 3, 4]}, b.node("Transpose", "x"))
    )


def test_a_free_batch_may_not_move() -> None:
    b = networks.NetworkBuilder()
    moved = b.node("Softmax", b.node("Transpose", "x", perm=[1, 0, 2]))
    with pytest.raises(UnsupportedOperator, match="give the input a fixed one"):
        import_model(b.model({"x": ["N", 3, 4]}, moved))


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("operator", ["Squeeze", "Unsqueeze"])
@pytest.mark.parametrize("axes", [[2], [-1], [2, 4], None])
def test_squeezes_agree(operator: str, opset: int, axes: list[int] | None) -> None:
    if axes is None and operator == "Unsqueeze":
        pytest.skip("Unsqueeze needs axes")
    b = networks.NetworkBuilder(opset=opset)
    lists: list[str] = []
    attributes: dict[str, Any] = {}
    if axes is not None and opset < 13:
        attributes["axes"] = axes
    elif axes is not None:
        lists = [b.integers(*axes)]
    y = b.node(operator, "x", *lists, **attributes)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 3, 1, 4, 1]}, y))


@pytest.mark.parametrize("axes", [[1], [7], [1, 1]])
def test_impossible_squeezes_are_invalid(axes: list[int]) -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": [1, 3, 4]}, b.node("Squeeze", "x", b.integers(*axes)))
    with pytest.raises(InvalidGraph):
        import_model(model)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space_agrees(mode: str) -> None:
    b = networks.NetworkBuilder()
    y = b.node("DepthToSpace", "x", blocksize=2, mode=mode)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 12, 2, 3]}, y))


def test_space_to_depth_agrees() -> None:
    b = networks.NetworkBuilder()
    y = b.node("SpaceToDepth", "x", blocksize=2)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 3, 4, 6]}, y))


@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (1, 1, 1, 1), (3, 1, 5)])
def test_expand_agrees(shape: tuple[int, ...]) -> None:
    b = networks.NetworkBuilder()
    y = b.node("Expand", "x", b.integers(*shape))
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 3, 1, 5]}, y))


@pytest.mark.parametrize("repeats", [(1, 1, 1), (1, 2, 3), (1, 1, 2)])
def test_tile_agrees(repeats: tuple[int, ...]) -> None:
    b = networks.NetworkBuilder()
    y = b.node("Tile", "x", b.integers(*repeats))
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 3, 2]}, y))


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("sizes", [None, [1, 3, 2]])
def test_split_agrees(opset: int, sizes: list[int] | None) -> None:
    b = networks.NetworkBuilder(opset=opset)
    attributes: dict[str, Any] = {"axis": 1}
    lists: Sequence[str] = ()
    if sizes is not None and opset < 13:
        attributes["split"] = sizes
    elif sizes is not None:
        lists = [b.integers(*sizes)]
    elif opset >= 18:
        attributes["num_outputs"] = 3
    first = b.node("Split", "x", *lists, name="split", **attributes)
    b.nodes[-1].output.extend(["second", "third"])
    model = b.model({"x": ["N", 6, 4]}, "third", first)  # the second is not read
    networks.assert_evaluates_as_in_onnxruntime(model)


@pytest.mark.parametrize(
    "indices", [2, -1, [0], [1, 2], [3, 0, 1], [[0, 1], [2, 2]], [-4, -1], [[2]]]
)
@pytest.mark.parametrize("axis", [1, -1])
def test_gather_agrees(indices: Any, axis: int) -> None:
    b = networks.NetworkBuilder()
    y = b.node("Gather", "x", b.constant(indices, np.int64), axis=axis)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 4, 3, 4]}, y))


@pytest.mark.parametrize("shape", [(-1,), (2, -1), ()])
def test_many_indices_are_one_node(shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    picked = random.permutation(90).reshape(shape) if shape else np.int64(7)
    b = networks.NetworkBuilder()
    y = b.node("Gather", "x", b.constant(picked, np.int64), axis=1)
    model = b.model({"x": ["N", 90, 2]}, y)
    graph = networks.assert_evaluates_as_in_onnxruntime(model)
    assert len(graph.nodes) == (1 if len(shape) == 1 else 2)


def test_an_index_outside_is_invalid() -> None:
    b = networks.NetworkBuilder()
    y = b.node("Gather", "x", b.constant([4], np.int64), axis=1)
    with pytest.raises(InvalidGraph, match="outside axis 1"):
        import_model(b.model({"x": ["N", 4]}, y))


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("nchw->nhwc", [("N", 3, 4, 5)]),
        ("nchw->nc", [("N", 3, 4, 5)]),
        ("bhqd,bhkd->bhqk", [("N", 2, 3, 4), ("N", 2, 5, 4)]),
        ("bhqk,bhkd->bqhd", [("N", 2, 3, 5), ("N", 2, 5, 4)]),
        ("nchw,ncz->nzhw", [("N", 3, 4, 5), ("N", 3, 2)]),
        ("bij,bjk", [(2, 3, 4), (2, 4, 5)]),
        ("ntv,vw->ntw", [("N", 3, 4), (4, 4)]),
        ("nctv,kvw->nkctw", [(2, 3, 4, 5), (2, 5, 5)]),
    ],
)
@pytest.mark.parametrize("constant", [False, True])
def test_einsum_agrees(
    equation: str, shapes: list[tuple[int | str, ...]], constant: bool
) -> None:
    b = networks.NetworkBuilder()
    names = [f"x{i}" for i in range(len(shapes))]
    values = dict(zip(names, shapes, strict=True))
    if constant and len(shapes) == 2:
        shape = values.pop("x1")
        if "N" in shape:
            pytest.skip("a constant has no batch")
        names[1] = b.normal(*(int(d) for d in shape))
    elif "vw" in equation and not constant:
        pytest.skip("the second operand is a parameter")
    y = b.node("Einsum", *names, equation=equation)
    networks.assert_evaluates_as_in_onnxruntime(b.model(values, y))
