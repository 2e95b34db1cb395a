"""Every target, under every option, has a format that holds its programs; others refuse and say where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networks
import networks_extended
import numpy as np
import onnx
import onnxruntime
import pytest
from export_reading import read_safetensors

from intlower.backends.export.real_model import real_model
from intlower.backends.export.registry import FORMATS, export_files
from intlower.compiler.artifact_metadata import metadata_text
from intlower.compiler.discovery import load_family, target_names
from intlower.compiler.errors import ExportError
from intlower.compiler.grids.documents import read_grid
from intlower.compiler.pipeline import compile_model
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import open_program
from intlower.compiler.target import TargetFamily

# The format made for a target; None where the vendor publishes none.
OWN_FORMATS = {
    "adreno": None,
    "ascend310": "ascend",
    "ceva": None,
    "cvflow": None,
    "nart_arm": "nart",
    "nart_cuda": "nart",
    "nnie": "nnie",
    "ristretto": "ristretto",
    "sigmastar": None,
    "snpe": "snpe",
    "tensorrt": "tensorrt",
    "tensorrt_fp16": None,
    "vitis": "vitis",
    "wuqi": None,
}
NETWORKS = (networks.residual_block, networks.classifier)


def variants() -> list[str]:
    """Every target, and with one option off its default, at each of its values."""
    names = []
    for name in target_names():
        family = load_family(name)
        names.append(name)
        if isinstance(family, TargetFamily):
            names += [
                f"{name}:{o.name}={value}" for o in family.options for value in o.values[1:]
            ]
    return names


def compiled(make: Any, target: str, folder: Path) -> tuple[IntegerProgram, dict[str, Any]]:
    model = make(seed=5)
    onnx.save(model, folder / "model.onnx")
    samples = networks.random_inputs(model, batch=4)
    return compile_model(folder / "model.onnx", target=target, samples=samples), samples


def onnx_files(files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: data for path, data in files.items() if path.endswith(".onnx")}


NEWER_NETWORKS = (networks_extended.attention, networks_extended.normalizations)


@pytest.mark.parametrize(
    ("make", "target"),
    [
        *((make, target) for make in NETWORKS for target in variants()),
        *((make, target) for make in NEWER_NETWORKS for target in OWN_FORMATS),
    ],
)
def test_every_format_holds_a_program_or_says_where_it_does_not(
    make: Any, target: str, tmp_path: Path
) -> None:
    program, _ = compiled(make, target, tmp_path)
    places = {*program.tensors, *(instruction.name for instruction in program.instructions)}
    written, refusals = [], []
    for name in FORMATS:
        try:
            files = export_files(program, name)
        except ExportError as error:
            refusals.append(str(error))
            continue
        written.append(name)
        assert files["README.txt"]
        for path, data in onnx_files(files).items():
            if "deploy" not in path:  # operators of Huawei's that no runtime here has
                onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    assert "json" in written
    assert [text for text in refusals if not any(place in text for place in places)] == []


@pytest.mark.parametrize(
    "target",
    # 16-bit clips of NNIE have no public form, AMCT records no network of half precision, and Ristretto has one exponent
    # bias for all tensors.
    [
        name
        for name in variants()
        if OWN_FORMATS.get(name.partition(":")[0])
        and name not in ("nnie:bits=16", "ascend310:bits=fp16", "ristretto:precision=minifloat")
    ],
)
@pytest.mark.parametrize("make", NETWORKS, ids=lambda make: str(make.__name__))
def test_a_target_has_its_vendors_format(make: Any, target: str, tmp_path: Path) -> None:
    program, _ = compiled(make, target, tmp_path)
    format_name = OWN_FORMATS[target.partition(":")[0]]
    assert format_name is not None
    assert set(export_files(program, format_name)) >= {"README.txt"}


def test_the_table_above_is_of_the_installed_targets() -> None:
    assert set(OWN_FORMATS) <= set(target_names())


@pytest.mark.parametrize("target", variants())
def test_json_reads_back_as_the_program(target: str, tmp_path: Path) -> None:
    program, _ = compiled(networks.classifier, target, tmp_path)
    files = export_files(program, "json")
    document = json.loads(files["program.json"])
    for name, tensor in program.tensors.items():
        stored = document["tensors"][name]
        assert tuple(stored.pop("shape")) == tensor.shape
        assert read_grid(stored, name) == tensor.grid
    assert document["target"] == json.loads(metadata_text(program))["target"]
    arrays = read_safetensors(files["program.safetensors"])
    for instruction in program.instructions:
        for key, constant in instruction.constants.items():
            array = arrays[f"{instruction.name}/{key}"]
            assert array.dtype == constant.array.dtype
            assert np.array_equal(array, constant.array)


@pytest.mark.parametrize(
    "target", ["nnie", "ascend310", "tensorrt", "ristretto:precision=minifloat,bits=16"]
)
@pytest.mark.parametrize(
    "make", [*NETWORKS, networks.concat_network, networks.slice_pad_shortcut]
)
def test_layers_of_reals_compute_what_the_program_does(
    make: Any, target: str, tmp_path: Path
) -> None:
    program, samples = compiled(make, target, tmp_path)
    model = real_model(program)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    simulator = open_program(program)
    codes = {
        name: program.tensors[name].grid.quantize(samples[name]) for name in program.inputs
    }
    rounded = {
        name: program.tensors[name].grid.dequantize(values) for name, values in codes.items()
    }
    integers = simulator.run(codes)
    skipped = {step.input for step in program.host}
    outputs = [name for name in program.outputs if name not in skipped]
    for name, found in zip(
        outputs, session.run(outputs, rounded) if outputs else [], strict=True
    ):
        expected = program.tensors[name].grid.dequantize(integers[name])
        spread = float(np.abs(expected).max())
        # Codes of activations are left out in the model of reals: a few steps of 8 bits.
        assert np.abs(found - expected).max() < 0.1 * spread
