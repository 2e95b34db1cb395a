"""Model files as strangers may write them: each is read whole or refused in one sentence."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import networks
import numpy as np
import onnx
import pytest

from intlower.compiler.errors import ModelError
from intlower.compiler.evaluate import evaluate
from intlower.compiler.importer import import_model, read_model


def write(path: Path, model: onnx.ModelProto | None = None) -> Path:
    path.write_bytes((model or networks.classifier()).SerializeToString())
    return path


def with_external_data(folder: Path) -> Path:
    """Write a model whose weights lie in weights.bin."""
    path = folder / "model.onnx"
    onnx.save(
        networks.classifier(),
        path,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    return path


def edit(path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    """Change a model file without touching its external data."""
    model = onnx.load(path, load_external_data=False)
    change(model)
    return write(path, model)


def set_external(path: Path, key: str, value: str) -> Path:
    def change(model: onnx.ModelProto) -> None:
        for entry in model.graph.initializer[0].external_data:
            if entry.key == key:
                entry.value = value

    return edit(path, change)


def test_the_model_comes_with_the_digest_of_its_file(tmp_path: Path) -> None:
    path = write(tmp_path / "model.onnx")
    model, digest = read_model(path)
    assert model == networks.classifier()
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_external_data_is_loaded(tmp_path: Path) -> None:
    path = with_external_data(tmp_path)
    model, digest = read_model(path)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    inputs = networks.random_inputs(model)
    plain = import_model(networks.classifier())
    (expected,) = evaluate(plain, inputs).values()
    (actual,) = evaluate(import_model(model), inputs).values()
    assert np.array_equal(actual, expected)


def test_external_data_of_constant_nodes_is_loaded(tmp_path: Path) -> None:
    b = networks.NetworkBuilder()
    value = onnx.numpy_helper.from_array(np.arange(4, dtype=np.float32), "value")
    model = b.model({"x": ["N", 4]}, b.node("Add", "x", b.node("Constant", value=value)))
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, size_threshold=0, convert_attribute=True)
    assert b"external" not in read_model(path)[0].SerializeToString()
    (constant,) = import_model(read_model(path)[0]).constants.values()
    assert constant.array.tolist() == [0, 1, 2, 3]


def test_external_data_may_lie_in_a_subfolder_and_behind_links_that_stay(
    tmp_path: Path,
) -> None:
    path = with_external_data(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "weights.bin").rename(tmp_path / "data" / "w.bin")
    (tmp_path / "weights.bin").symlink_to(tmp_path / "data" / "w.bin")
    import_model(read_model(path)[0])


def refused(path: Path) -> str:
    """Return the sentence with which a file is refused."""
    with pytest.raises(ModelError) as caught:
        read_model(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.onnx").endswith("none.onnx does not exist")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path).endswith("is a folder")


@pytest.mark.parametrize("data", [b"", b"not a model at all", b"\x00" * 100, b"\x08\x08"])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(data)
    assert "is not an ONNX model, or is truncated" in refused(tmp_path / "model.onnx")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_truncated_models_are_refused(tmp_path: Path, kept: float) -> None:
    path = write(tmp_path / "model.onnx")
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    assert "is not an ONNX model, or is truncated" in refused(path)


def test_an_artifact_is_refused_with_the_way_to_run_it(tmp_path: Path) -> None:
    model = networks.classifier()
    onnx.helper.set_model_props(model, {"intlower": "1"})
    with pytest.raises(ModelError, match="is an intlower artifact") as caught:
        read_model(write(tmp_path / "artifact.onnx", model))
    assert "`simulate`" in caught.value.hint


def test_missing_external_data_is_refused(tmp_path: Path) -> None:
    path = with_external_data(tmp_path)
    (tmp_path / "weights.bin").unlink()
    assert "there is no file 'weights.bin'" in refused(path)


def test_external_data_that_is_no_file_is_refused(tmp_path: Path) -> None:
    path = with_external_data(tmp_path)
    (tmp_path / "weights.bin").unlink()
    os.mkfifo(tmp_path / "weights.bin")
    assert "there is no file 'weights.bin'" in refused(path)


@pytest.mark.parametrize(
    "location",
    [
        "../secret.bin",
        "{outside}/secret.bin",
        "sub/../../secret.bin",
        "link/secret.bin",
        "..",
        "",
        "a\0b",
        "loop",
    ],
)
def test_external_data_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(1 << 16))
    (folder / "link").symlink_to(tmp_path)
    (folder / "loop").symlink_to(folder / "loop")
    path = with_external_data(folder)
    set_external(path, "location", location.format(outside=tmp_path))
    message = refused(path)
    assert "lies outside the model's folder" in message or "no file 'loop'" in message


def test_a_data_file_that_links_outside_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = with_external_data(folder)
    (folder / "weights.bin").rename(tmp_path / "weights.bin")
    (folder / "weights.bin").symlink_to(tmp_path / "weights.bin")
    assert "lies outside the model's folder" in refused(path)


def test_a_data_file_that_is_a_hard_link_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = with_external_data(folder)
    (tmp_path / "secret").hardlink_to(folder / "weights.bin")
    assert "is a hard link" in refused(path)
    (tmp_path / "secret").unlink()
    read_model(path)


def test_keys_of_external_data_that_onnx_does_not_know_change_nothing(tmp_path: Path) -> None:
    """They were set as attributes of an object once (CVE-2026-34445)."""

    def change(model: onnx.ModelProto) -> None:
        for key in ("__class__", "basepath", "offset_", "checksum"):
            model.graph.initializer[0].external_data.add(key=key, value="9" * 30)

    path = edit(with_external_data(tmp_path), change)
    assert read_model(path)[0].graph.initializer[0].data_location == onnx.TensorProto.DEFAULT


def test_lengths_that_overflow_64_bits_together_are_refused(tmp_path: Path) -> None:
    path = set_external(with_external_data(tmp_path), "offset", str((1 << 63) - 1))
    assert "are not the 864 bytes" in refused(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("offset", "1000000000"), ("length", "1000000000"), ("length", "4"), ("length", "0")],
)
def test_external_data_beyond_its_file_is_refused(tmp_path: Path, key: str, value: str) -> None:
    path = set_external(with_external_data(tmp_path), key, value)
    assert "are not the 864 bytes of the tensor" in refused(path)


@pytest.mark.parametrize("value", ["-1", "many", "", "1e3", "9" * 30])
def test_impossible_offsets_are_refused(tmp_path: Path, value: str) -> None:
    path = set_external(with_external_data(tmp_path), "offset", value)
    assert "impossible position" in refused(path)


def test_external_tensors_of_impossible_size_are_refused(tmp_path: Path) -> None:
    path = with_external_data(tmp_path)
    assert "larger than 2 GiB" in refused(
        edit(path, lambda model: model.graph.initializer[0].dims.append(1 << 40))
    )
    assert "impossible type or shape" in refused(
        edit(path, lambda model: model.graph.initializer[0].dims.append(-1))
    )


def test_external_tensors_of_unknown_type_are_refused(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].data_type = 77

    assert "impossible type or shape" in refused(edit(with_external_data(tmp_path), change))


def test_a_model_whose_data_is_not_loaded_is_not_imported(tmp_path: Path) -> None:
    model = onnx.load(with_external_data(tmp_path), load_external_data=False)
    with pytest.raises(ModelError, match="external data is not loaded"):
        import_model(model)
