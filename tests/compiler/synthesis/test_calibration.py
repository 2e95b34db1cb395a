"""Synthetic inputs on their way to ranges: calibration, the pipeline and the command line."""

from __future__ import annotations

from pathlib import Path

import networks
import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from intlower.cli import main
from intlower.compiler.calibration import Range, calibrate
from intlower.compiler.calibration.from_synthetic import ranges_with_synthetic
from intlower.compiler.calibration.methods.select import Method
from intlower.compiler.errors import CalibrationError, CalibrationWarning, DataError
from intlower.compiler.importer import import_model
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.standard import STANDARD_PASSES
from intlower.compiler.pipeline import compile_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx.save(networks.classifier(), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def without_statistics(tmp_path: Path) -> Path:
    builder = networks.NetworkBuilder()
    value = builder.relu(builder.conv("input", 3, 4, 3))
    onnx.save(builder.model({"input": ["N", 3, 8, 8]}, value), tmp_path / "plain.onnx")
    return tmp_path / "plain.onnx"


def test_a_program_calibrated_with_synthetic_inputs_says_so_and_repeats(model: Path) -> None:
    lines: list[str] = []
    first = compile_model(model, target="snpe", synthesize=4, progress=lines.append)
    again = compile_model(model, target="snpe", synthesize=4)
    assert "moments and 4 synthetic inputs, min-max" in first.origin.calibration
    (verdict,) = first.origin.verdicts
    assert "level of real data" in verdict or "real data's" in verdict
    assert first == again
    assert any(line.startswith("synthesize 4: step 0 of") for line in lines)


def test_synthetic_inputs_change_ranges_but_not_those_of_the_input(model: Path) -> None:
    plain = compile_model(model, target="snpe")
    synthetic = compile_model(model, target="snpe", synthesize=4)
    assert plain.tensors["input"] == synthetic.tensors["input"]
    assert plain.tensors != synthetic.tensors


def test_synthetic_inputs_serve_gptq(model: Path) -> None:
    program = compile_model(model, target="tensorrt", synthesize=4, added=("gptq",))
    assert "synthetic" in program.origin.calibration


def test_without_statistics_compilation_falls_back_with_a_warning(
    without_statistics: Path,
) -> None:
    with pytest.warns(CalibrationWarning) as raised:
        program = compile_model(without_statistics, target="snpe", synthesize=4)
    assert "cannot be synthesized" in str(raised[0].message)
    assert "random noise" in program.origin.calibration
    with pytest.raises(CalibrationError, match="cannot be synthesized"):
        compile_model(without_statistics, target="snpe", synthesize=4, added=("gptq",))


def test_the_synthetic_recipe_is_the_default_with_what_inputs_allow(model: Path) -> None:
    program = compile_model(model, target="snpe", recipe="synthetic", budget_seconds=1.0)
    assert program.origin.recipe == "synthetic"
    assert "correct_on_samples" in program.origin.steps
    assert "32 synthetic inputs" in program.origin.calibration
    assert [verdict.split()[0] for verdict in program.origin.verdicts] == ["synthetic", "bias"]
    narrow = compile_model(
        model, target="nart_arm:bits=4", recipe="synthetic", budget_seconds=1.0
    )
    assert "gptq" in narrow.origin.steps
    samples = networks.random_inputs(networks.classifier(), batch=2)
    with pytest.raises(DataError, match="takes no samples"):
        compile_model(model, target="snpe", samples=samples, recipe="synthetic")


def test_the_synthetic_recipe_falls_back_to_the_default(without_statistics: Path) -> None:
    with pytest.warns(CalibrationWarning):
        program = compile_model(without_statistics, target="snpe", recipe="synthetic")
    with pytest.warns(CalibrationWarning):
        default = compile_model(without_statistics, target="snpe")
    assert (program.origin.recipe, program.origin.steps) == ("synthetic", default.origin.steps)
    assert program.instructions == default.instructions


def test_samples_and_synthesis_exclude_each_other(model: Path) -> None:
    samples = networks.random_inputs(networks.classifier(), batch=2)
    with pytest.raises(DataError, match="in the place of samples"):
        compile_model(model, target="snpe", samples=samples, synthesize=4)


def test_ranges_lie_within_those_of_moments_and_reach_what_moments_do_not() -> None:
    graph = run_passes(import_model(networks.classifier()), STANDARD_PASSES)
    samples = networks.random_inputs(networks.classifier(), batch=8)
    moments = calibrate(graph).ranges
    hidden = next(node.output for node in graph.nodes if node.output not in graph.outputs)
    known = {name: found for name, found in moments.items() if name != hidden}
    ranges = ranges_with_synthetic(graph, samples, known, Method.MIN_MAX)
    assert set(ranges) == set(graph.values)
    assert ranges[hidden].source == "synthetic inputs"
    for name in known:
        low, high = min(known[name].minimum, 0), max(known[name].maximum, 0)
        assert low <= ranges[name].minimum <= ranges[name].maximum <= high
        assert ranges[name].maximum >= 0.5 * high
    assert ranges[graph.inputs[0].name] == moments[graph.inputs[0].name]
    assert ranges[graph.outputs[0]] == moments[graph.outputs[0]]


def test_values_that_synthetic_inputs_leave_constant_keep_half_their_range() -> None:
    graph = run_passes(import_model(networks.classifier()), STANDARD_PASSES)
    known = {name: Range(-4.0, 6.0, "moments") for name in graph.values}
    samples = {
        name: np.zeros_like(array)
        for name, array in networks.random_inputs(networks.classifier(), batch=2).items()
    }
    ranges = ranges_with_synthetic(graph, samples, known, Method.MIN_MAX)
    assert all(found.minimum <= -2 < 3 <= found.maximum for found in ranges.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--synthesize", "4", "--samples", "x.npz"), "exclude each other"),
        (("--budget", "3"), "--synthesize, which is not given"),
        (("--synthesize", "0"), "x>=1"),
    ],
)
def test_options_that_contradict_are_refused(
    model: Path, options: tuple[str, ...], message: str
) -> None:
    Path(model.parent / "x.npz").touch()
    run = CliRunner().invoke(main, ["compile", str(model), "--target", "snpe", *options])
    assert run.exit_code == 2
    assert message in run.output


def test_the_command_synthesizes_within_its_budget(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    options = ("--target", "snpe", "--synthesize", "4", "--budget", "60", "--json")
    run = CliRunner().invoke(main, ["compile", str(model), *options])
    assert run.exit_code == 0
    assert "4 synthetic inputs" in run.output


def test_an_operator_without_derivative_falls_back_to_moments_with_a_warning(
    tmp_path: Path,
) -> None:
    builder = networks.NetworkBuilder()
    value = builder.conv(builder.node("Round", "input"), 3, 4, 3, bias=False)
    value = builder.relu(builder.batch_norm(value, 4))
    onnx.save(builder.model({"input": ["N", 3, 8, 8]}, value), tmp_path / "steps.onnx")
    with pytest.warns(CalibrationWarning, match="no derivative reaches them through Round"):
        program = compile_model(
            tmp_path / "steps.onnx",
            target="tensorrt",
            synthesize=4,
            input_ranges={"input": (-4.0, 4.0)},
        )
    assert "synthetic" not in program.origin.calibration
