"""What every built-in target must do, whatever its arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import networks
import onnx
import pytest
from target_variants import TARGETS, variants

from intlower.compiler.artifact import open_artifact, save, serialise
from intlower.compiler.crosscheck import random_inputs, verify
from intlower.compiler.discovery import load_target
from intlower.compiler.pipeline import compile_model

NETWORKS: tuple[Callable[..., onnx.ModelProto], ...] = (
    networks.conv_bn_relu,
    networks.depthwise_separable,
    networks.residual_block,
    networks.classifier,
    networks.concat_network,
    networks.slice_pad_shortcut,
)


@pytest.mark.crosscheck
@pytest.mark.parametrize("recipe", ["default", "none"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("make", NETWORKS, ids=lambda make: str(make.__name__))
def test_three_executions_of_a_small_network_agree_to_the_bit(
    make: Callable[..., onnx.ModelProto], target: str, recipe: str, tmp_path: Path
) -> None:
    model = make(seed=5)
    onnx.save(model, tmp_path / "model.onnx")
    program = compile_model(
        tmp_path / "model.onnx",
        target=target,
        samples=networks.random_inputs(model, batch=4),
        recipe=recipe,
    )
    for comparison in verify(program, random_inputs(program, 5)).values():
        assert comparison.compared > 0
        assert comparison.mismatches == 0


@pytest.mark.crosscheck
@pytest.mark.parametrize("target", variants())
@pytest.mark.parametrize("make", NETWORKS[1:], ids=lambda make: str(make.__name__))
def test_three_executions_agree_under_every_option(
    make: Callable[..., onnx.ModelProto], target: str, tmp_path: Path
) -> None:
    model = make(seed=6)
    onnx.save(model, tmp_path / "model.onnx")
    samples = networks.random_inputs(model, batch=4)
    program = compile_model(tmp_path / "model.onnx", target=target, samples=samples)
    assert program.target == target
    for comparison in verify(program, random_inputs(program, 5)).values():
        assert comparison.compared > 0
        assert comparison.mismatches == 0


@pytest.mark.parametrize("target", TARGETS)
def test_the_same_model_gives_the_same_bytes(target: str, tmp_path: Path) -> None:
    onnx.save(networks.classifier(), tmp_path / "model.onnx")
    first, second = (
        serialise(compile_model(tmp_path / "model.onnx", target=target)) for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("target", [*TARGETS, *variants()])
def test_an_artifact_reads_back_as_it_was_written(target: str, tmp_path: Path) -> None:
    onnx.save(networks.classifier(), tmp_path / "model.onnx")
    program = compile_model(tmp_path / "model.onnx", target=target)
    save(program, tmp_path / "artifact.onnx")
    assert open_artifact(tmp_path / "artifact.onnx") == program


@pytest.mark.parametrize("target", [*TARGETS, *variants()])
def test_every_fact_of_a_target_has_a_source(target: str) -> None:
    spec = load_target(target).spec
    for field, words, provenance in spec.contract():
        assert words, field
        assert len(provenance.source) > 10, field
