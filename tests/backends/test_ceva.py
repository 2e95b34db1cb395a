"""Ceva's weight grids: a scale and a zero point for each output channel, or one for the layer."""

from __future__ import annotations

from pathlib import Path

import networks
import numpy as np
import onnx
import pytest

from intlower.compiler.grids import ChannelGrid
from intlower.compiler.pipeline import compile_model
from intlower.compiler.program import IntegerProgram


def compiled(tmp_path: Path, target: str) -> IntegerProgram:
    model = networks.residual_block(seed=3)
    onnx.save(model, tmp_path / "model.onnx")
    samples = networks.random_inputs(model, batch=4)
    return compile_model(tmp_path / "model.onnx", target=target, samples=samples, recipe="none")


@pytest.mark.parametrize("bits", ["8", "16"])
def test_every_channel_covers_its_own_weights(bits: str, tmp_path: Path) -> None:
    option = "" if bits == "8" else f"bits={bits},"
    program = compiled(tmp_path, f"ceva:{option}weights=per_channel")
    layers = [i for i in program.instructions if i.weight_grid is not None]
    assert layers
    for instruction in layers:
        grid = instruction.weight_grid
        assert isinstance(grid, ChannelGrid)
        assert instruction.kernel.operator.startswith("asymmetric_")
        codes = instruction.constants["weights"].array.reshape(len(grid.channels), -1)
        zero_points = instruction.constants["weight_zero_points"].array
        assert np.array_equal(zero_points, grid.offsets)
        # Both ends of each channel's range, with 0 in it, are codes up to the rounding of the zero point.
        low, high = (
            np.minimum(codes.min(axis=1), zero_points),
            np.maximum(codes.max(axis=1), zero_points),
        )
        assert (low <= 1).all()
        assert (high >= grid.limits[1] - 1).all()
        assert len(set(zero_points.tolist())) > 1


@pytest.mark.parametrize(
    ("option", "operator", "channels"),
    [("", "conv2d", False), (":weights=per_channel_symmetric", "conv2d", True)],
)
def test_other_weights_are_those_of_ordinary_operators(
    option: str, operator: str, channels: bool, tmp_path: Path
) -> None:
    program = compiled(tmp_path, f"ceva{option}")
    first = program.instructions[0]
    assert first.kernel.operator == operator
    assert first.kernel.per_channel is channels
