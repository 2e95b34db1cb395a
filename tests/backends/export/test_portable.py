from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import strategies
from export_reading import read_safetensors
from hypothesis import HealthCheck, given, settings

from intlower.backends.export.registry import export_files
from intlower.compiler.program import IntegerProgram


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(program=strategies.programs())
def test_every_number_of_a_program_reads_back(program: IntegerProgram) -> None:
    files = export_files(program, "json")
    document: dict[str, Any] = json.loads(files["program.json"])
    arrays = read_safetensors(files["program.safetensors"])
    assert document["input_order"] == list(program.inputs)
    assert document["output_order"] == list(program.outputs)
    for name, tensor in program.tensors.items():
        stored = document["tensors"][name]
        assert tuple(stored["shape"]) == tensor.shape
        assert np.array_equal(np.float32(stored["scale"]), tensor.grid.scale.array)
        assert stored["zero_point"] == tensor.grid.zero_point
    for stored, instruction in zip(document["instructions"], program.instructions, strict=True):
        assert stored["kernel"] == str(instruction.kernel)
        assert stored["inputs"] == list(instruction.inputs)
        read = {
            k: tuple(v) if isinstance(v, list) else v for k, v in stored["attributes"].items()
        }
        assert read == dict(instruction.attributes)
        for key, constant in instruction.constants.items():
            array = arrays[stored["constants"][key]]
            assert array.dtype == constant.array.dtype
            assert np.array_equal(array, constant.array)


def test_safetensors_own_reader_reads_it() -> None:
    reader = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    import small_programs

    data = export_files(small_programs.classifier(), "json")["program.safetensors"]
    ours = read_safetensors(data)
    theirs = reader.load(data)
    assert set(ours) == set(theirs)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
