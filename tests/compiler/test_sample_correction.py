from __future__ import annotations

from dataclasses import replace

import networks
import numpy as np
import pytest
from lowered_graphs import ORIGIN

from intlower.backends.lowering import lower_uniform
from intlower.backends.recipes import uniform_recipe
from intlower.backends.snpe import TARGET as SNPE_FAMILY
from intlower.backends.tensorrt import TARGET
from intlower.compiler.calibration import calibrate
from intlower.compiler.constant import Constant
from intlower.compiler.divergence import kl_divergence
from intlower.compiler.errors import DataError
from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph
from intlower.compiler.importer import import_model
from intlower.compiler.passes.base import run_passes
from intlower.compiler.program import IntegerProgram
from intlower.compiler.sample_correction import GATE, correct_on_samples
from intlower.compiler.simulator import simulate

SNPE = SNPE_FAMILY.member("")

SAMPLES = {"input": np.random.default_rng(0).standard_normal((32, 8, 8, 8)).astype(np.float32)}


def lowered(batch: int | str = "N") -> tuple[IntegerProgram, Graph]:
    builder = networks.NetworkBuilder()
    x = builder.relu(builder.batch_norm(builder.conv("input", 8, 8, 3), 8))
    x = builder.node("GlobalAveragePool", builder.relu(builder.conv(x, 8, 12, 3)))
    x = builder.gemm(builder.node("Flatten", x), 12, 5)
    recipe = uniform_recipe(TARGET.spec, "default")
    model = builder.model({"input": [batch, 8, 8, 8]}, x)
    graph = run_passes(import_model(model), recipe.passes)
    ranges = calibrate(graph, samples=SAMPLES).ranges
    return lower_uniform(graph, ranges, TARGET.spec, recipe, ORIGIN), graph


def with_wrong_biases(program: IntegerProgram, steps: int) -> IntegerProgram:
    """Return the program with every bias off by some steps of the accumulator."""
    return replace(
        program,
        instructions=tuple(
            replace(
                instruction,
                constants={
                    **instruction.constants,
                    "bias": Constant.of(instruction.constants["bias"].array + steps, np.int32),
                },
            )
            if "bias" in instruction.constants
            else instruction
            for instruction in program.instructions
        ),
    )


def error(program: IntegerProgram, graph: Graph) -> float:
    (name,) = graph.outputs
    expected = evaluate(graph, SAMPLES)[name]
    return float(np.abs((simulate(program, SAMPLES)[name] - expected).mean(axis=0)).max())


def test_a_shift_of_every_channel_is_taken_back() -> None:
    program, graph = lowered()
    wrong = with_wrong_biases(program, 1500)
    found = correct_on_samples(wrong, graph, SAMPLES)
    assert found.kept
    assert found.after < GATE * found.before
    assert "kept" in found.describe()
    assert error(found.program, graph) < 0.2 * error(wrong, graph)


def test_only_biases_change() -> None:
    program, graph = lowered()
    found = correct_on_samples(with_wrong_biases(program, 1500), graph, SAMPLES).program
    for before, after in zip(program.instructions, found.instructions, strict=True):
        assert after.attributes == before.attributes
        for name, constant in before.constants.items():
            assert name == "bias" or after.constants[name] == constant


def test_a_correction_that_does_not_help_held_out_samples_is_dropped() -> None:
    program, graph = lowered()
    misleading = SAMPLES["input"].copy()
    misleading[:16] *= 40  # far past every range: the means of what is clipped
    found = correct_on_samples(program, graph, {"input": misleading})
    assert not found.kept
    assert found.program == program
    assert "dropped" in found.describe()


def test_the_judge_knows_that_probabilities_in_integers_stand_on_a_grid() -> None:
    builder = networks.NetworkBuilder()
    x = builder.node(
        "Flatten", builder.node("GlobalAveragePool", builder.conv("input", 8, 8, 3))
    )
    steep = builder.normal(5, 8, scale=10.0)
    x = builder.node("Softmax", builder.node("Gemm", x, steep, transB=1))
    recipe = uniform_recipe(SNPE.spec, "default")
    graph = run_passes(import_model(builder.model({"input": ["N", 8, 8, 8]}, x)), recipe.passes)
    ranges = calibrate(graph, samples=SAMPLES).ranges
    program = lower_uniform(graph, ranges, SNPE.spec, recipe, ORIGIN)
    (name,) = graph.outputs
    held_out = {"input": SAMPLES["input"][16:]}
    expected, found = evaluate(graph, held_out)[name], simulate(program, held_out)[name]
    assert (found == 0).any()
    step = float(program.tensors[name].grid.scale.array)
    before = correct_on_samples(program, graph, SAMPLES).before
    assert before == pytest.approx(kl_divergence(expected, found, step))
    assert before < 0.9 * kl_divergence(expected, found)  # 0 as an impossibility


def test_the_same_samples_give_the_same_program() -> None:
    program, graph = lowered()
    wrong = with_wrong_biases(program, 1500)
    first, second = (correct_on_samples(wrong, graph, SAMPLES).program for _ in range(2))
    assert first == second


def test_too_few_samples_and_a_fixed_batch_are_refused() -> None:
    program, graph = lowered()
    with pytest.raises(DataError, match="2 samples at least"):
        correct_on_samples(program, graph, {"input": SAMPLES["input"][:1]})
    program, graph = lowered(batch=32)
    with pytest.raises(DataError, match="free batch"):
        correct_on_samples(program, graph, SAMPLES)
