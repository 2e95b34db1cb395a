"""Vectors of programs, as folders."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import small_programs
from hypothesis import given
from hypothesis import strategies as st

from intlower import vectors
from intlower.compiler.artifact import open_artifact
from intlower.compiler.crosscheck import Comparison, Mismatch, random_inputs
from intlower.compiler.errors import DataError, SimulationMismatch
from intlower.compiler.simulator import run_reference
from intlower.kernels.reference import reference_for
from intlower.kernels.signature import KernelKey


def replay(folder: Path) -> dict[str, np.ndarray]:
    """Compute every tensor of a folder from its index alone, as an implementation elsewhere would."""
    index = json.loads((folder / "index.json").read_text())
    tensors = {entry["tensor"]: np.load(folder / entry["file"]) for entry in index["inputs"]}
    for step in index["instructions"]:
        constants = {
            name: np.load(folder / entry["file"]) for name, entry in step["constants"].items()
        }
        attributes = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in step["attributes"].items()
        }
        operands = [tensors[name] for name in step["inputs"]]
        oracle = reference_for(KernelKey.parse(step["kernel"]))
        output = step["output"]
        tensors[output["tensor"]] = oracle(*operands, **attributes, **constants)
        stored = np.load(folder / output["file"])
        assert list(stored.shape) == output["shape"]
        assert str(stored.dtype) == output["dtype"]
        assert np.array_equal(stored, tensors[output["tensor"]])
    assert set(index["outputs"]) <= set(tensors)
    return tensors


def test_a_folder_is_enough_to_check_every_step(tmp_path: Path) -> None:
    program = small_programs.classifier()
    inputs = random_inputs(program, 3)
    made = vectors.make_vectors(program, inputs)
    size_bytes = vectors.write_vectors(made, tmp_path / "vectors")
    files = list((tmp_path / "vectors").iterdir())
    assert size_bytes == sum(file.stat().st_size for file in files)
    assert list(tmp_path.iterdir()) == [tmp_path / "vectors"]
    expected = run_reference(program, inputs, keep_all=True)
    actual = replay(tmp_path / "vectors")
    assert set(actual) == set(expected)
    for name, codes in expected.items():
        assert np.array_equal(actual[name], codes)


def test_the_index_names_every_file_once(tmp_path: Path) -> None:
    program = small_programs.classifier()
    vectors.write_vectors(
        vectors.make_vectors(program, random_inputs(program, 1)), tmp_path / "v"
    )
    text = (tmp_path / "v" / "index.json").read_text()
    for file in (tmp_path / "v").glob("*.npy"):
        assert text.count(json.dumps(file.name)) == 1


@given(st.text())
def test_a_file_name_is_safe_and_can_be_read_back(name: str) -> None:
    safe = vectors.file_name(name)
    assert safe.isascii()
    assert not set(safe) & set('/\\:*?"<>|\0 ')
    assert len(safe) <= 200
    if "~" not in safe or len(safe) < 180:
        assert unquote(safe) == name


def test_long_names_stay_apart() -> None:
    first, second = vectors.file_name("a" * 300), vectors.file_name("a" * 299 + "b")
    assert first != second
    assert max(len(first), len(second)) <= 200


def test_nothing_is_written_where_the_executions_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = small_programs.classifier()
    first = Mismatch(engine="numba", instruction="conv", index=(0,), expected=1, actual=2)
    wrong = Comparison(against="reference", compared=1, mismatches=1, first=first)
    monkeypatch.setattr(vectors, "verify", lambda *_: {"reference": wrong})
    with pytest.raises(SimulationMismatch, match="numba differs first at conv"):
        vectors.make_vectors(program, random_inputs(program, 1))


def test_a_folder_is_replaced_only_where_it_holds_vectors(tmp_path: Path) -> None:
    program = small_programs.classifier()
    made = vectors.make_vectors(program, random_inputs(program, 1))
    folder = tmp_path / "folder"
    folder.mkdir()
    vectors.write_vectors(made, folder)  # an empty one is taken
    with pytest.raises(DataError, match="holds vectors already"):
        vectors.write_vectors(made, folder)
    fewer = replace(made, arrays=dict(list(made.arrays.items())[:2]))
    vectors.write_vectors(fewer, folder, force=True)
    assert len(list(folder.iterdir())) == 3
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="is not a folder of vectors"):
        vectors.write_vectors(made, folder, force=True)
    assert (folder / "thesis.txt").exists()
    assert list(tmp_path.iterdir()) == [folder]


def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = small_programs.classifier()
    made = vectors.make_vectors(program, random_inputs(program, 1))
    folder = tmp_path / "folder"
    vectors.write_vectors(made, folder)
    before = sorted(folder.iterdir())

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(vectors.npy, "write_array", full)
    with pytest.raises(OSError, match="no space"):
        vectors.write_vectors(made, folder, force=True)
    assert sorted(folder.iterdir()) == before
    assert list(tmp_path.iterdir()) == [folder]


def test_the_command_takes_samples_real_or_codes(cli: Any, some_artifact: Path) -> None:
    run = cli("vectors", some_artifact, "-o", "random", "--count", 2, "--json")
    assert run.code == 0, run.err
    assert run.document["samples"] == 2
    options = ("--samples", cli.data, "--count", 3)
    assert cli("vectors", some_artifact, "-o", "real", *options).code == 0
    stem = "0000.input.image.npy"
    codes = np.load(Path("real") / stem)
    grid = open_artifact(some_artifact).tensors["image"].grid
    assert np.array_equal(codes, grid.quantize(np.load(cli.data)["image"][:3]))
    np.savez("codes.npz", image=codes)
    assert cli("vectors", some_artifact, "-o", "codes", "--samples", "codes.npz").code == 0
    for file in Path("real").iterdir():
        assert (Path("codes") / file.name).read_bytes() == file.read_bytes()
    assert "holds vectors already" in cli.refuse("vectors", some_artifact, "-o", "real")
    assert cli("vectors", some_artifact, "-o", "real", "--force").code == 0
