"""What every target with today's operators must do with the blocks of newer networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import networks
import networks_extended
import onnx
import pytest
from target_variants import TARGETS, variants

from intlower.backends.uniform import UNIFORM_OPERATORS
from intlower.compiler.crosscheck import random_inputs, verify
from intlower.compiler.discovery import load_target
from intlower.compiler.pipeline import compile_model

NETWORKS: tuple[Callable[..., onnx.ModelProto], ...] = (
    networks_extended.squeeze_excitation,
    networks_extended.activations,
    networks_extended.upsampling_head,
    networks_extended.channel_shuffle,
    networks_extended.transposed_convolution,
    networks_extended.token_mixer,
)
UNIFORM_TARGETS = [
    name
    for name in (*TARGETS, *variants())
    if load_target(name).spec.operators >= UNIFORM_OPERATORS
]


@pytest.mark.parametrize("make", NETWORKS, ids=lambda make: str(make.__name__))
def test_the_networks_evaluate_as_in_onnxruntime(
    make: Callable[..., onnx.ModelProto],
) -> None:
    networks.assert_evaluates_as_in_onnxruntime(make(seed=3))


@pytest.mark.crosscheck
@pytest.mark.parametrize("target", UNIFORM_TARGETS)
@pytest.mark.parametrize("make", NETWORKS, ids=lambda make: str(make.__name__))
def test_three_executions_of_a_block_agree_to_the_bit(
    make: Callable[..., onnx.ModelProto], target: str, tmp_path: Path
) -> None:
    model = make(seed=5)
    onnx.save(model, tmp_path / "model.onnx")
    samples = networks.random_inputs(model, batch=4)
    program = compile_model(tmp_path / "model.onnx", target=target, samples=samples)
    for comparison in verify(program, random_inputs(program, 5)).values():
        assert comparison.compared > 0
        assert comparison.mismatches == 0
