"""`intlower synthesize`, in this process, in others and on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import pytest

import intlower
from intlower import api
from intlower.compiler.errors import CalibrationError, DataError, ModelError
from intlower.compiler.synthesis import school
from intlower.compiler.synthesis.view import CANVAS
from intlower.data_files import read_data, write_npz
from intlower.school import graph_of, model_files, shared_set

HERE = ("--jobs", 1)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six steps instead of 120: what the commands do does not depend on how good the inputs are."""
    monkeypatch.setattr(school, "ONLY_STEPS", 6)


@pytest.fixture
def models(cli: Any) -> tuple[Path, Path]:
    """Two classifiers of photographs, of 8 and of 12 pixels, with five classes each."""
    for name, size, seed in (("small", 8, 0), ("large", 12, 1)):
        onnx.save(networks.classifier(size=size, seed=seed), f"{name}.onnx")
    return Path("small.onnx"), Path("large.onnx")


def set_of(cli: Any, models: tuple[Path, ...], *options: object) -> bytes:
    run = cli("synthesize", *models, "-o", "set.npz", "--count", 4, *options)
    assert run.code == 0, run.err
    return Path("set.npz").read_bytes()


def test_one_set_calibrates_every_model_and_one_that_it_was_not_made_for(
    cli: Any, models: tuple[Path, Path]
) -> None:
    run = cli("synthesize", *models, "-o", "set.npz", "--count", 4, *HERE, "--json")
    assert run.code == 0, run.err
    document = run.document
    assert document["shape"] == [4, 3, 12, 12]
    assert [teacher["name"] for teacher in document["teachers"]] == ["small", "large"]
    assert 0 <= document["agreement"] <= 1
    assert not document["shortened"]
    canvas = read_data(Path("set.npz"))[CANVAS]
    assert canvas.shape == (4, 3, 12, 12)
    onnx.save(networks.classifier(size=10, seed=5), "third.onnx")
    for model in (*models, Path("third.onnx")):
        run = cli("compile", model, "--target", "snpe", "--samples", "set.npz", "--json")
        assert run.code == 0, run.err
        assert "moments and 4 synthetic inputs" in run.document["calibration"]
        assert "shared canvas" in run.document["calibration"]


def test_the_table_names_every_teacher(cli: Any, models: tuple[Path, Path]) -> None:
    run = cli("synthesize", *models, "-o", "set.npz", "--count", 2, *HERE)
    assert run.code == 0, run.err
    assert run.err == ""
    for word in ("2x3x12x12", "small", "large", "3x8x8", "same class"):
        assert word in run.out


def test_the_same_command_gives_the_same_bytes(cli: Any, models: tuple[Path, Path]) -> None:
    assert set_of(cli, models, *HERE) == set_of(cli, models, *HERE)
    assert set_of(cli, models, *HERE) != set_of(cli, models, *HERE, "--seed", 1)


@pytest.mark.slow
def test_teachers_in_other_processes_give_the_same_bytes(
    cli: Any, models: tuple[Path, Path]
) -> None:
    assert set_of(cli, models, *HERE) == set_of(cli, models, "--jobs", 2)


@pytest.fixture
def scheduler() -> Iterator[str]:
    distributed = pytest.importorskip("distributed", reason="the extra [dask] is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.slow
def test_teachers_on_a_cluster_give_the_same_bytes(
    cli: Any, models: tuple[Path, Path], scheduler: str
) -> None:
    options = ("--engine", "dask", "--scheduler", scheduler)
    assert set_of(cli, models, *HERE) == set_of(cli, models, *options)


@pytest.mark.slow
def test_the_report_compares_every_source_for_every_model(
    cli: Any, models: tuple[Path, Path]
) -> None:
    generator = np.random.default_rng(0)
    options: list[object] = []
    for model, size in zip(models, (8, 12), strict=True):
        images = generator.standard_normal((12, 3, size, size)).astype(np.float32)
        write_npz(Path(f"{model}.npz"), {"input": images, "labels": np.arange(12) % 5})
        options += ["--data", f"{model}.npz"]
    arguments = ("synthesize", *models, "-o", "set.npz", "--count", 4, "--target", "tensorrt")
    run = cli(*arguments, *options, *HERE, "--json")
    assert run.code == 0, run.err
    rows = run.document["rows"]
    sources = ["moments", "noise", "own set", "shared set", "left out", "real samples"]
    assert [row["source"] for row in rows] == 2 * sources
    for row in rows:
        main = row["combined"] or row["alone"]
        assert main["kl"] >= 0
        assert -1 <= main["drop"] <= 1
        assert (row["alone"] is None) == (row["source"] == "moments")


def test_one_model_makes_a_set_for_itself(cli: Any, models: tuple[Path, Path]) -> None:
    arguments = ("synthesize", models[0], "-o", "set.npz", "--count", 2, "--target", "snpe")
    run = cli(*arguments, *HERE, "--json")
    assert run.code == 0, run.err
    assert run.document["agreement"] is None
    assert [row["source"] for row in run.document["rows"]] == ["moments", "noise", "own set"]
    run = cli(*arguments, *HERE)
    assert "for snpe, on other synthetic inputs" in run.out
    assert [line.split()[0] for line in run.out.splitlines()[-3:]] == 3 * ["small"]


def autoencoder() -> onnx.ModelProto:
    b = networks.NetworkBuilder()
    x = b.relu(b.batch_norm(b.gemm("input", 12, 6), 6))
    return b.model({"input": ["N", 12]}, b.gemm(x, 6, 12))


def folded() -> onnx.ModelProto:
    b = networks.NetworkBuilder()
    return b.model({"input": ["N", 3, 8, 8]}, b.relu(b.conv("input", 3, 4, 3)))


def test_models_that_cannot_share_are_refused_in_one_line(
    cli: Any, models: tuple[Path, Path]
) -> None:
    onnx.save(autoencoder(), "numbers.onnx")
    onnx.save(folded(), "folded.onnx")
    output = ("-o", "set.npz", *HERE)
    assert "have no inputs in common: small takes images of 3x8x8, numbers takes" in cli.refuse(
        "synthesize", models[0], "numbers.onnx", *output
    )
    assert "folded: inputs cannot be synthesized: no layer has batch-norm" in cli.refuse(
        "synthesize", models[0], "folded.onnx", *output
    )
    assert "is given twice" in cli.refuse("synthesize", models[0], models[0], *output)
    assert "no model has an input 'image'" in cli.refuse(
        "synthesize", *models, *output, "--input-range", "image=0:1"
    )
    assert "no such folder" in cli.refuse("synthesize", *models, "-o", "none/set.npz", *HERE)
    assert "would overwrite" in cli.refuse("synthesize", *models, "-o", models[0], *HERE)
    assert "which is not given" in cli.refuse("synthesize", *models, *output, "--data", "x")
    assert "once for each" in cli.refuse(
        "synthesize", *models, *output, "--target", "snpe", "--data", "x"
    )
    assert "--engine dask needs --scheduler" in cli.refuse(
        "synthesize", *models, "-o", "set.npz", "--engine", "dask"
    )


def test_data_that_only_calibrates_measures_nothing(
    cli: Any, models: tuple[Path, Path]
) -> None:
    write_npz(
        Path("few.npz"),
        {"input": np.zeros((4, 3, 8, 8), np.float32), "labels": np.zeros(4, np.int64)},
    )
    options = ("-o", "set.npz", "--count", 4, "--target", "snpe", "--data", "few.npz", *HERE)
    assert "not more than the 4 that calibrate" in cli.refuse("synthesize", models[0], *options)


def test_numbers_that_are_no_images_make_a_set_too(cli: Any) -> None:
    onnx.save(autoencoder(), "numbers.onnx")
    run = cli("synthesize", "numbers.onnx", "-o", "set.npz", "--count", 4, *HERE, "--json")
    assert run.code == 0, run.err
    assert run.document["shape"] == [4, 12]
    run = cli("compile", "numbers.onnx", "--target", "snpe", "--samples", "set.npz")
    assert run.code == 0, run.err


def test_a_model_whose_statistics_are_folded_away_is_calibrated_by_what_others_made(
    cli: Any, models: tuple[Path, Path]
) -> None:
    onnx.save(folded(), "folded.onnx")
    set_of(cli, models, *HERE)
    arguments = ("compile", "folded.onnx", "--target", "snpe", "--samples", "set.npz")
    run = cli(*arguments, "--json")
    assert run.code == 0, run.err
    assert "4 synthetic inputs" in run.document["calibration"]
    assert "no batch-norm statistics tell what input 'input' holds" in run.err
    run = cli(*arguments, "--input-range", "input=0:255", "--json")
    assert run.document["warnings"] == []
    assert run.document["inputs"]["input"]["maximum"] == pytest.approx(255, abs=2)


def test_a_canvas_that_does_not_fit_is_refused(cli: Any, models: tuple[Path, Path]) -> None:
    for shape in ((4, 12), (4, 2, 8, 8)):
        with pytest.raises(CalibrationError):
            api.compile(models[0], target="snpe", samples={CANVAS: np.zeros(shape, np.float32)})
    canvas = {CANVAS: np.zeros((2, 3, 8, 8), np.float32)}
    with pytest.raises(DataError, match="synthesized already"):
        api.compile(models[0], target="snpe", samples=canvas, synthesize=2)
    api.compile(models[0], target="snpe", samples=canvas, recipe="data-free-strict")


def test_the_python_interface_gives_the_samples_of_compile(models: tuple[Path, Path]) -> None:
    samples = intlower.synthesize(models, count=2)
    assert samples[CANVAS].shape == (2, 3, 12, 12)
    for model in models:
        program = intlower.compile(model, target="snpe", samples=samples)
        assert "shared canvas" in program.origin.calibration


def test_a_cut_is_warned_of(cli: Any, models: tuple[Path, Path]) -> None:
    run = cli("synthesize", *models, "-o", "set.npz", "--budget", 1e-9, *HERE)
    assert run.code == 0
    assert "warning: the time budget left out steps" in run.err


def test_a_range_goes_to_the_models_that_have_the_input(models: tuple[Path, Path]) -> None:
    files = model_files(models, shapes={}, input_ranges={"input": (-1.0, 3.0)})
    assert [file.input_range for file in files] == [(-1.0, 3.0)] * 2
    made = shared_set(files, count=2, seed=0)
    assert made.canvas.shape == (2, 3, 12, 12)


def test_a_model_that_changes_midway_is_noticed(models: tuple[Path, Path]) -> None:
    (file,) = model_files(models[:1], shapes={}, input_ranges={})
    onnx.save(networks.classifier(seed=9), models[0])
    with pytest.raises(ModelError, match="has changed since the start"):
        graph_of(file)
