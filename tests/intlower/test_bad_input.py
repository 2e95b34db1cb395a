"""Whatever a user may give by mistake: one `error:` line, one `hint:` line, exit 2, no file left behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

COMPILE = ("--target", "tensorrt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["complie"], "no such command: 'complie', did you mean 'compile'?"),
        (["frobnicate"], "no such command: 'frobnicate'"),
        (["compile"], "Missing argument"),
        (["compile", "x.onnx"], "--target"),
        (["compile", "x.onnx", "--tagret", "snpe"], "--tagret"),
        (["compile", "x.onnx", *COMPILE, "--seed", "one"], "'one'"),
        (["compile", "x.onnx", *COMPILE, "--input-range", "image=1"], "NAME=MIN:MAX"),
        (["compile", "x.onnx", *COMPILE, "--input-range", "image=1:0"], "MIN below MAX"),
        (["compile", "x.onnx", *COMPILE, "--input-range", "image=0:nan"], "MIN below MAX"),
        (["compile", "x.onnx", *COMPILE, "--shape", "image=1,N"], "NAME=N,3,224,224"),
        (["compile", "x.onnx", *COMPILE, "--shape", "image=0,3"], "NAME=N,3,224,224"),
        (["compile", "x.onnx", *COMPILE, "--calibration", "entropie"], "entropie"),
        (["verify", "x.onnx", "--against", "tflite"], "'tflite' is not one of"),
        (["bench", "x.onnx", "--against", "tflite"], "'tflite' is not one of"),
        (["targets", "tensort"], "unknown target 'tensort'"),
        (["demo", "--target", "tensort"], "unknown target 'tensort'"),
    ],
)
def test_a_wrong_command_line_is_refused(cli: Any, arguments: list[str], message: str) -> None:
    assert message in cli.refuse(*arguments)


def test_a_typo_in_the_target_suggests_the_closest(cli: Any) -> None:
    run = cli("compile", cli.model, "--target", "tensort")
    assert "unknown target 'tensort'" in cli.refuse("compile", cli.model, "--target", "tensort")
    assert "did you mean 'tensorrt'?" in run.err


def test_an_error_is_also_json_where_json_is_asked_for(cli: Any) -> None:
    run = cli("compile", cli.model, "--target", "tensort", "--json")
    assert run.code == 2
    assert run.document["error"]["type"] == "UnknownTarget"
    assert run.document["error"]["message"] in run.err
    assert run.document["error"]["hint"] in run.err
    assert cli("complie", "--json").document["error"]["type"] == "UsageError"


def bad_model(kind: str, good: Path) -> Path:
    """Write a model file that is not one."""
    path = Path(f"{kind}.onnx")
    if kind == "truncated":
        path.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    elif kind == "text":
        path.write_text("this is not ONNX")
    elif kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind in ("dynamic", "nan"):
        model = onnx.load(good)
        if kind == "dynamic":
            model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
        else:
            weights = next(t for t in model.graph.initializer if len(t.dims) == 4)
            array = numpy_helper.to_array(weights).copy()
            array.flat[0] = np.nan
            weights.CopyFrom(numpy_helper.from_array(array, weights.name))
        onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    "kind", ["truncated", "text", "empty", "folder", "missing", "dynamic", "nan"]
)
def test_a_file_that_is_no_model_is_not_compiled(cli: Any, kind: str) -> None:
    path = bad_model(kind, cli.model)
    assert "internal" not in cli.refuse("compile", path, *COMPILE)


def test_an_artifact_is_not_compiled_again(cli: Any, some_artifact: Path) -> None:
    assert "artifact" in cli.refuse("compile", some_artifact, *COMPILE)


@pytest.mark.parametrize("kind", ["model", "truncated", "text", "folder", "missing"])
@pytest.mark.parametrize("command", ["simulate", "verify", "inspect", "bench"])
def test_a_file_that_is_no_artifact_is_not_run(cli: Any, command: str, kind: str) -> None:
    path = cli.model if kind == "model" else bad_model(kind, cli.model)
    options = ("--input", cli.data) if command == "simulate" else ()
    cli.refuse(command, path, *options)


@pytest.mark.parametrize("kind", ["truncated", "text", "folder", "missing"])
def test_a_file_that_is_no_network_is_not_evaluated(cli: Any, kind: str) -> None:
    path = bad_model(kind, cli.model)
    cli.refuse("evaluate", path, "--data", cli.data)
    cli.refuse("evaluate", cli.model, "--data", cli.data, "--float", path)


def bad_samples(kind: str, images: np.ndarray) -> Path:
    """Write a data file that does not fit the embedded network."""
    path = Path(f"{kind}.npz")
    arrays: dict[str, Any] = {
        "name": {"imag": images},
        "no_arrays": {},
        "shape": {"image": images[:, 0]},
        "size": {"image": images[:, :, :4]},
        "integers": {"image": (16 * images).astype(np.uint8)},
        "text": {"image": np.array(["a"] * len(images))},
        "nan": {"image": np.where(images > 0.5, np.nan, images)},
        "no_samples": {"image": images[:0]},
    }
    if kind == "truncated":
        np.savez(path, image=images)
        path.write_bytes(path.read_bytes()[:-100])
    elif kind == "no_archive":
        path.write_bytes(b"no archive")
    elif kind != "missing":
        np.savez(path, **arrays[kind])
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "name",
        "no_arrays",
        "shape",
        "size",
        "integers",
        "text",
        "nan",
        "no_samples",
        "truncated",
        "no_archive",
        "missing",
    ],
)
@pytest.mark.parametrize("command", ["compile", "simulate", "verify", "evaluate"])
def test_a_data_file_that_does_not_fit_is_refused(
    cli: Any, images: np.ndarray, some_artifact: Path, command: str, kind: str
) -> None:
    path = bad_samples(kind, images)
    options = {
        "compile": (cli.model, *COMPILE, "--samples", path),
        "simulate": (some_artifact, "--input", path, "--output", "y.npz"),
        "verify": (some_artifact, "--samples", path),
        "evaluate": (some_artifact, "--data", path),
    }
    assert "internal" not in cli.refuse(command, *options[command])


@pytest.mark.parametrize(
    "labels", [None, np.zeros(3, int), np.zeros(360), np.full(360, 10), np.full(360, -1)]
)
def test_labels_that_do_not_fit_are_refused(
    cli: Any, images: np.ndarray, some_artifact: Path, labels: np.ndarray | None
) -> None:
    np.savez("x.npz", image=images, **({} if labels is None else {"labels": labels}))
    assert "label" in cli.refuse("evaluate", some_artifact, "--data", "x.npz")


@pytest.mark.parametrize(
    "output", ["none/x.onnx", "folder", "file/x.onnx", "/dev/null", "x" * 300]
)
def test_an_output_that_cannot_be_written_is_refused(cli: Any, output: str) -> None:
    Path("folder").mkdir()
    Path("file").touch()
    cli.refuse("compile", cli.model, *COMPILE, "-o", output)


def test_a_folder_without_permission_is_refused(
    cli: Any, some_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write everywhere.
    monkeypatch.setattr("os.access", lambda _, mode: mode != os.W_OK)
    assert "permission denied" in cli.refuse("compile", cli.model, *COMPILE)
    options = ("--input", cli.data, "--output", "y.npz")
    assert "permission denied" in cli.refuse("simulate", some_artifact, *options)


def test_no_command_overwrites_what_it_reads(
    cli: Any, images: np.ndarray, some_artifact: Path
) -> None:
    onnx.save(onnx.load(cli.model), "model.onnx")
    np.savez("x.npz", image=images)
    assert "overwrite" in cli.refuse("compile", "model.onnx", *COMPILE, "-o", "model.onnx")
    options = (*COMPILE, "--samples", "x.npz", "-o", "x.npz")
    assert "overwrite" in cli.refuse("compile", "model.onnx", *options)
    options = ("--input", "x.npz", "--output", "./x.npz")
    assert "overwrite" in cli.refuse("simulate", some_artifact, *options)
