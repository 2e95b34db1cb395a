from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import pytest

import intlower
from intlower.cli import main
from intlower.compiler import crosscheck


def test_targets_lists_every_installed_target(cli: Any) -> None:
    names = [target["name"] for target in cli("targets", "--json").document["targets"]]
    assert {"snpe", "tensorrt"} <= set(names)
    shown = cli("targets").out
    assert all(name in shown for name in names)


def test_targets_shows_what_is_public_fact_and_what_our_definition(cli: Any) -> None:
    contract = cli("targets", "tensorrt", "--json").document["contract"]
    assert {row["status"] for row in contract} == {"public fact", "our definition"}
    assert all(row["source"] and row["value"] for row in contract)
    assert "requantize" in cli("targets", "tensorrt").out


def test_compile_reports_what_it_wrote(cli: Any) -> None:
    run = cli("compile", cli.model, "--target", "tensorrt", "--json")
    assert run.code == 0
    document = run.document
    assert document["artifact"] == "digits.tensorrt.onnx"
    assert document["target"] == "tensorrt"
    assert document["size_bytes"] == Path("digits.tensorrt.onnx").stat().st_size
    program = intlower.open("digits.tensorrt.onnx")
    assert document["instructions"] == len(program.instructions)
    assert document["parameters"] == program.parameters
    assert document["seconds"] > 0
    assert document["warnings"] == []
    assert document["inputs"]["image"]["minimum"] < document["inputs"]["image"]["maximum"]


def test_compile_prints_a_summary(cli: Any) -> None:
    run = cli("compile", cli.model, "--target", "snpe", "-o", "mine.onnx")
    assert run.code == 0
    assert "mine.onnx" in run.out
    assert "kB" in run.out
    assert run.err == ""


@pytest.mark.parametrize("target", ["snpe", "tensorrt"])
def test_two_compilations_give_the_same_bytes(cli: Any, target: str) -> None:
    for output in ("one.onnx", "two.onnx"):
        assert cli("compile", cli.model, "--target", target, "-o", output).code == 0
    assert Path("one.onnx").read_bytes() == Path("two.onnx").read_bytes()


def test_compile_takes_ranges_from_samples_and_from_options(
    cli: Any, images: np.ndarray
) -> None:
    np.savez("samples.npz", image=3 * images[:20].astype(np.float64), labels=np.zeros(20, int))
    options = ("--samples", "samples.npz", "--calibration", "min-max")
    run = cli("compile", cli.model, "--target", "snpe", *options, "--json")
    assert run.document["inputs"]["image"]["maximum"] == pytest.approx(3)
    assert "samples" in run.document["calibration"]
    options = ("--input-range", "image=-1:7", "--recipe", "none", "--seed", "3")
    run = cli("compile", cli.model, "--target", "snpe", *options, "--json")
    assert run.document["inputs"]["image"]["maximum"] == pytest.approx(7, abs=0.1)


def test_compile_ends_at_named_outputs(cli: Any, tmp_path: Path) -> None:
    """A detector whose choice of boxes is for the host: the refusal says where to end, and there it ends."""
    b = networks.NetworkBuilder()
    scores = b.node("Reshape", b.conv("input", 3, 4, 3), b.integers(0, 4, -1))
    best = b.node("ArgMax", scores, axis=2)
    onnx.save(b.model({"input": ["N", 3, 8, 8]}, best), tmp_path / "model.onnx")
    refused = cli("compile", "model.onnx", "--target", "snpe")
    assert refused.code != 0
    assert f"--outputs {scores}" in refused.err
    made = cli("compile", "model.onnx", "--target", "snpe", "--outputs", scores)
    assert made.code == 0
    assert intlower.open("model.snpe.onnx").outputs == (scores,)


def test_compile_says_how_a_program_was_made(cli: Any) -> None:
    options = ("--target", "snpe", "--without", "squant")
    shown = cli("compile", cli.model, *options, "-v").out
    assert "recipe default: " in shown
    assert "squant" not in shown
    assert "ranges from" in shown
    document = cli("compile", cli.model, *options, "--json").document
    assert "squant" not in document["steps"]
    assert sum(map(len, document["range_sources"].values())) >= document["instructions"]
    inspected = cli("inspect", document["artifact"], "--json").document
    assert inspected["range_sources"] == document["range_sources"]
    assert "recipe" in cli("inspect", document["artifact"]).out


def test_a_guess_is_shown_as_a_warning_with_a_hint(
    cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import warnings

    from intlower import api
    from intlower.compiler.errors import CalibrationWarning

    compile_model = api.compile

    def guess(*arguments: Any, **options: Any) -> Any:
        warnings.warn(CalibrationWarning("ranges are guessed", "give samples"), stacklevel=1)
        return compile_model(*arguments, **options)

    monkeypatch.setattr(api, "compile", guess)
    run = cli("compile", cli.model, "--target", "tensorrt", "--json")
    assert run.code == 0
    assert run.err.splitlines() == ["warning: ranges are guessed", "hint: give samples"]
    assert run.document["warnings"] == [
        {"message": "ranges are guessed", "hint": "give samples"}
    ]


def test_simulate_writes_what_the_library_computes(
    cli: Any, artifact: Path, images: np.ndarray
) -> None:
    run = cli("simulate", artifact, "--input", cli.data, "--output", "y.npz", "--json")
    assert run.code == 0
    expected = intlower.simulate(intlower.open(artifact), {"image": images})
    with np.load("y.npz") as stored:
        assert set(stored) == set(expected) == set(run.document["outputs"])
        for name, array in expected.items():
            assert np.array_equal(stored[name], array)
            assert run.document["outputs"][name] == {
                "shape": list(array.shape),
                "dtype": "float32",
            }
    assert run.document["output"] == "y.npz"


def test_simulate_takes_and_gives_integer_codes(
    cli: Any, artifact: Path, images: np.ndarray
) -> None:
    program = intlower.open(artifact)
    codes = {"image": program.tensors["image"].grid.quantize(images[:7])}
    np.savez("codes.npz", **codes)
    np.savez("reals.npz", image=images[:7])
    expected = intlower.simulate_integers(program, codes)
    for source in ("codes.npz", "reals.npz"):
        options = ("--input", source, "--output", "y.npz", "--integers")
        assert cli("simulate", artifact, *options).code == 0
        with np.load("y.npz") as stored:
            for name, array in expected.items():
                assert stored[name].dtype == array.dtype
                assert np.array_equal(stored[name], array)


def test_simulate_without_output_only_prints(cli: Any, artifact: Path) -> None:
    run = cli("simulate", artifact, "--input", cli.data)
    assert run.code == 0
    assert "360x10" in run.out
    assert list(Path().iterdir()) == []


def test_verify_finds_no_differing_integer(cli: Any, artifact: Path) -> None:
    document = cli("verify", artifact, "--json").document
    assert set(document) == {"onnxruntime", "reference"}
    compared = document["onnxruntime"]["compared"]
    assert compared >= 4 * 10  # the outputs of four samples at least
    for comparison in document.values():
        assert comparison == {"compared": compared, "mismatches": 0}
    options = ("--against", "onnxruntime", "--samples", cli.data, "--count", 3)
    assert cli("verify", artifact, *options, "--json").document == {
        "onnxruntime": {"compared": compared // 4 * 3, "mismatches": 0}
    }
    assert "onnxruntime" in cli("verify", artifact, "--count", 1).out


def test_verify_names_the_first_differing_instruction(
    cli: Any, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = crosscheck.OnnxruntimeWitness.run

    def lying(self: Any, inputs: Any) -> Any:
        outputs = dict(honest(self, inputs))
        last = self.program.instructions[-1]
        wrong = outputs[last.output].copy()
        wrong.flat[0] ^= 1
        return {**outputs, last.output: wrong}

    monkeypatch.setattr(crosscheck.OnnxruntimeWitness, "run", lying)
    run = cli("verify", artifact, "--count", 2, "--json")
    assert run.code == 1
    last = intlower.open(artifact).instructions[-1].name
    assert run.document["reference"]["mismatches"] == 0
    assert run.document["onnxruntime"]["mismatches"] >= 1
    assert run.document["onnxruntime"]["first"]["instruction"] == last
    assert run.err.splitlines()[0].startswith("error: onnxruntime differs first at " + last)


def test_evaluate_gives_accuracy_and_agreement(cli: Any, artifact: Path) -> None:
    options = ("--data", cli.data, "--float", cli.model)
    document = cli("evaluate", artifact, *options, "--json").document
    assert document["count"] == 360
    assert document["float_top1"] >= 0.97
    assert document["top1"] >= 0.9
    assert document["agreement"] >= 0.9
    assert "agreement" in cli("evaluate", artifact, *options, "--count", 10).out


def test_evaluate_takes_a_float_model_and_a_folder(cli: Any, images: np.ndarray) -> None:
    whole = cli("evaluate", cli.model, "--data", cli.data, "--json").document
    with np.load(cli.data) as stored:
        labels = stored["labels"]
    Path("parts").mkdir()
    for number, part in enumerate(np.array_split(np.arange(360), 3)):
        np.savez(f"parts/{number}.npz", image=images[part], labels=labels[part])
    parts = cli("evaluate", cli.model, "--data", "parts", "--json").document
    assert parts == whole
    assert set(whole) == {"count", "top1"}


def test_inspect_shows_every_instruction(cli: Any, artifact: Path) -> None:
    program = intlower.open(artifact)
    document = cli("inspect", artifact, "--json").document
    assert [entry["name"] for entry in document["instructions"]] == [
        instruction.name for instruction in program.instructions
    ]
    assert document["multiply_accumulates"] == program.multiply_accumulates()
    assert document["source_sha256"] == program.origin.source_sha256
    lines = cli("inspect", artifact).out.splitlines()
    for instruction in program.instructions:
        shown = [line for line in lines if line.startswith(f"{instruction.name} ")]
        assert len(shown) == 1
        assert str(instruction.kernel) in shown[0]


def test_bench_times_us_beside_onnxruntime(cli: Any, artifact: Path) -> None:
    options = ("--repeats", 3, "--batch", 2)
    document = cli("bench", artifact, *options, "--json").document
    for engine in ("intlower", "onnxruntime"):
        assert 0 < document[engine]["min_ms"] <= document[engine]["median_ms"]
    ours, theirs = (document[e]["median_ms"] for e in ("intlower", "onnxruntime"))
    assert document["ratio"]["onnxruntime"] == pytest.approx(ours / theirs, rel=0.01)
    assert (document["threads"], document["batch"]) == (1, 2)
    assert document["isa"]
    assert len(document["kernels"]) > 1
    shown = cli("bench", artifact, "--repeats", 1, "--against", "onnxruntime-saturating").out
    assert "onnxruntime-saturating" in shown


def test_demo_prints_one_table_of_every_target(cli: Any) -> None:
    run = cli("demo", "--json")
    assert run.code == 0
    for result in run.document["targets"].values():
        assert result["float_top1"] >= 0.97
        assert set(result["mismatches"].values()) == {0}
        assert result["instructions"] > 5
    shown = cli("demo", "--target", "tensorrt").out
    assert "tensorrt" in shown
    assert "snpe" not in shown
    assert list(Path().iterdir()) == []


def test_demo_fails_where_an_integer_differs(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def verify(*_: Any) -> dict[str, crosscheck.Comparison]:
        wrong = crosscheck.Comparison(against="onnxruntime", compared=10, mismatches=1)
        return {"onnxruntime": wrong}

    monkeypatch.setattr(crosscheck, "verify", verify)
    run = cli("demo", "--target", "tensorrt")
    assert run.code == 1
    assert run.err.startswith("error: tensorrt: onnxruntime")


def test_an_interruption_ends_with_one_line_and_130(
    cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("intlower.api.compile", interrupted)
    run = cli("compile", cli.model, "--target", "tensorrt")
    assert run.code == 130
    assert run.err.split() == ["interrupted"]
    assert list(Path().iterdir()) == []


def test_an_unexpected_error_asks_for_a_report_and_shows_no_traceback(
    cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("intlower.api.compile", broken)
    run = cli("compile", cli.model, "--target", "tensorrt")
    assert run.code == 2
    assert run.err.splitlines()[0] == (
        "error: internal error: ZeroDivisionError: division by zero"
    )
    assert "--traceback" in run.err.splitlines()[1]
    run = cli("compile", cli.model, "--target", "tensorrt", "--traceback")
    assert "Traceback (most recent call last)" in run.err
    assert cli("--traceback", "inspect", "none.onnx").err.startswith("Traceback")


def test_a_full_disk_leaves_no_half_written_file(
    cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    assert "o space left" in cli.refuse("compile", cli.model, "--target", "tensorrt")


def test_every_command_and_option_has_a_help_text(cli: Any) -> None:
    for name, command in main.commands.items():
        run = cli(name, "--help")
        assert run.code == 0
        assert "Examples:" in run.out
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or parameter.help, parameter.name
        assert {"--json", "--traceback"} <= {o for p in command.params for o in p.opts}


def test_no_command_shows_the_help(cli: Any) -> None:
    assert cli().out == cli("--help").out
    assert cli("--version").out.startswith("intlower, version ")


def test_verify_counts_where_another_arithmetic_differs(cli: Any, artifact: Path) -> None:
    options = ("--against", "reference,onnxruntime-qdq", "--samples", cli.data, "--count", 5)
    run = cli("verify", artifact, *options, "--bisect", "--json")
    assert run.code == 0
    document = run.document
    names = ["reference", "onnxruntime-qdq", "onnxruntime-qdq-unoptimized"]
    assert list(document) == names
    for name in names[1:]:
        assert document[name]["compared"] == 5 * 10
        assert document[name]["mismatches"] <= 5 * 10
        assert document[name]["max_difference"] < 10
        assert document[name]["top1_agreement"] >= 0.8
        assert set(document[name]["top1"]) == {"program", "witness"}
    shown = cli("verify", artifact, *options).out
    assert "another arithmetic" in shown
    assert "top-1" in shown


def test_verify_lists_what_to_compare_with_and_how_to_install_it(cli: Any) -> None:
    document = cli("verify", "--list", "--json").document
    assert document["proofs"] == ["onnxruntime", "reference"]
    listed = {entry["name"]: entry for entry in document["witnesses"]}
    assert listed["onnxruntime-qdq"]["installed"] is True
    assert all(entry["install"].startswith("pip install ") for entry in listed.values())
    assert all(name in cli("verify", "--list").out for name in listed)
    assert "give an artifact, or --list" in cli.refuse("verify")
