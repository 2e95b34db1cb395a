"""What every target with today's operators must do with the blocks of newer networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import networks
import networks_extended
import numpy as np
import onnx
import pytest
from target_variants import TARGETS, variants

from intlower.compiler.artifact import parse, serialise
from intlower.compiler.crosscheck import random_inputs, verify
from intlower.compiler.discovery import load_target
from intlower.compiler.evaluate import evaluate
from intlower.compiler.importer import import_model
from intlower.compiler.pipeline import compile_model
from intlower.compiler.simulator import simulate
from intlower.compiler.spec import TargetSpec

NETWORKS: tuple[Callable[..., onnx.ModelProto], ...] = (
    networks_extended.squeeze_excitation,
    networks_extended.activations,
    networks_extended.upsampling_head,
    networks_extended.channel_shuffle,
    networks_extended.transposed_convolution,
    networks_extended.token_mixer,
    networks_extended.attention,
    networks_extended.normalizations,
)
UNIFORM_TARGETS = [
    name for name in (*TARGETS, *variants()) if isinstance(load_target(name).spec, TargetSpec)
]


def named(value: object) -> str:
    """What a case is called: its target, or the function that makes its network."""
    return value if isinstance(value, str) else str(getattr(value, "__name__", value))


@pytest.mark.parametrize("make", NETWORKS, ids=named)
def test_the_networks_evaluate_as_in_onnxruntime(
    make: Callable[..., onnx.ModelProto],
) -> None:
    networks.assert_evaluates_as_in_onnxruntime(make(seed=3))


# What entropy ranges clip of a few samples of noise changes nothing of who agrees with whom.
CLIPPED = "ignore:entropy ranges clip:intlower.compiler.errors.CalibrationWarning"


@pytest.mark.crosscheck
@pytest.mark.filterwarnings(CLIPPED)
@pytest.mark.parametrize(
    ("make", "target"),
    [
        (make, target)
        for make in NETWORKS
        for target in UNIFORM_TARGETS
        # The options of a target change nothing of what attention and normalizations add.
        if make not in NETWORKS[-2:] or target in TARGETS
    ],
    ids=named,
)
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


@pytest.mark.crosscheck
@pytest.mark.parametrize(
    ("make", "target"),
    [
        *((make, "nnie") for make in NETWORKS),
        *(
            (make, target)
            for make in NETWORKS[-2:]
            for target in ("nnie:bits=16", "ascend310", "adreno")
        ),
    ],
    ids=named,
)
def test_other_numbers_leave_the_rest_to_the_host(
    make: Callable[..., onnx.ModelProto], target: str, tmp_path: Path
) -> None:
    model = make(seed=5)
    onnx.save(model, tmp_path / "model.onnx")
    samples = networks.random_inputs(model, batch=4)
    program = compile_model(tmp_path / "model.onnx", target=target, samples=samples)
    for comparison in verify(program, random_inputs(program, 2)).values():
        assert comparison.compared > 0
        assert comparison.mismatches == 0
    assert parse(serialise(program)) == program
    graph = import_model(model)
    (name,) = graph.outputs
    expected = evaluate(graph, samples)[name]
    error = simulate(program, samples)[name] - expected
    # Eight bits of a logarithm, 16 steps for each octave, cost most.
    assert np.square(error).sum() < 0.02 * np.square(expected).sum()
