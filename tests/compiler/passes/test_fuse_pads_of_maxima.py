"""Padding with -infinity in front of a maximum is the pool's own padding."""

from __future__ import annotations

from pathlib import Path

import networks
import numpy as np
import onnx
import pytest

import intlower
from intlower.compiler.errors import UnsupportedByTarget
from intlower.compiler.importer import import_model
from intlower.compiler.operators import MaxPool, Pad
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.standard import STANDARD_PASSES

IMAGE = ["N", 3, 7, 9]


def padded(value: float, kernel: int, ceil_mode: int = 0) -> onnx.ModelProto:
    b = networks.NetworkBuilder()
    x = b.pad(b.conv("input", 3, 4, 1), [0, 0, 0, 1, 0, 0, 1, 1], value)
    return b.model(
        {"input": IMAGE},
        b.node("MaxPool", x, kernel_shape=[kernel] * 2, strides=[2, 2], ceil_mode=ceil_mode),
    )


@pytest.mark.parametrize("value", [-np.inf, float(np.finfo(np.float32).min), -1e35])
def test_such_a_padding_becomes_the_pools(value: float, tmp_path: Path) -> None:
    model = padded(value, 3)
    graph = run_passes(networks.assert_evaluates_as_in_onnxruntime(model), STANDARD_PASSES)
    (pool,) = [n.operator for n in graph.nodes if isinstance(n.operator, MaxPool)]
    assert pool.pads == (0, 1, 1, 1)
    assert not any(isinstance(node.operator, Pad) for node in graph.nodes)
    onnx.save(model, tmp_path / "model.onnx")
    samples = networks.random_inputs(model, batch=4)
    program = intlower.compile(tmp_path / "model.onnx", target="snpe", samples=samples)
    assert [i.kernel.operator for i in program.instructions] == ["conv2d", "max_pool"]


@pytest.mark.parametrize(
    ("value", "kernel", "ceil_mode"), [(-5.0, 3, 0), (-np.inf, 1, 0), (-np.inf, 3, 1)]
)
def test_other_paddings_stay(value: float, kernel: int, ceil_mode: int) -> None:
    graph = run_passes(import_model(padded(value, kernel, ceil_mode)), STANDARD_PASSES)
    assert any(isinstance(node.operator, Pad) for node in graph.nodes)


def test_minus_infinity_that_no_maximum_hides_is_refused(tmp_path: Path) -> None:
    model = padded(-np.inf, 1)
    onnx.save(model, tmp_path / "model.onnx")
    samples = networks.random_inputs(model, batch=4)
    with pytest.raises(UnsupportedByTarget, match="not for a maximum alone"):
        intlower.compile(tmp_path / "model.onnx", target="snpe", samples=samples)
