from __future__ import annotations

import re
from dataclasses import replace

import onnx
import pytest
import small_programs
import strategies
from hypothesis import HealthCheck, given, settings
from power_of_two_programs import power_of_two_classifier

from intlower.backends.export.registry import FORMATS, export_files, find_format
from intlower.compiler.errors import ExportError
from intlower.compiler.program import IntegerProgram

FOR_ANY_GRID = ("qdq", "tensorrt", "snpe", "nart", "ncnn", "ascend", "json")


def strangely_named() -> IntegerProgram:
    """Return a program with names that most text formats cannot hold."""
    program = power_of_two_classifier()
    conv = program.instructions[0]
    renamed = replace(conv, name='a "b":\n\\é/1')
    return replace(program, instructions=(renamed, *program.instructions[1:]))


# nnie has grids of its own, test_nnie.py; tflite an arithmetic, tests/backends/export/tflite; c has a README.txt and names of its own, tests/backends/export/c.
UNIFORM = [name for name in FORMATS if name not in ("nnie", "tflite")]
SHARED_README = [name for name in UNIFORM if name != "c"]


@pytest.mark.parametrize("name", UNIFORM)
def test_every_format_writes_the_same_files_twice(name: str) -> None:
    program = power_of_two_classifier()
    files = export_files(program, name)
    assert files == export_files(program, name)
    assert all(files.values())
    for path, content in files.items():
        if path.endswith(".onnx"):
            onnx.checker.check_model(onnx.load_from_string(content), full_check=True)


@pytest.mark.parametrize("name", FOR_ANY_GRID)
def test_formats_without_powers_of_two_take_scales_of_channels(name: str) -> None:
    assert export_files(small_programs.classifier(), name)


@pytest.mark.parametrize("name", SHARED_README)
def test_the_readme_states_the_contract_and_what_to_run(name: str) -> None:
    program = small_programs.classifier() if name in FOR_ANY_GRID else power_of_two_classifier()
    files = export_files(program, name)
    text = files["README.txt"].decode()
    for path in files:
        assert path in text
    for edge in ("image", "logits", "pooled", "probabilities"):
        assert re.search(rf"^  {edge}\b", text, re.MULTILINE)
    assert "Nx2x6x6, NCHW" in text
    assert "int8, codes -128..127" in text
    assert f"scale       {'0.1' if name in FOR_ANY_GRID else '0.0625'}\n" in text
    for command in FORMATS[name].commands(program):
        assert f"  {command}\n" in text
    described = [path for path in files if "/" not in path]
    assert set(described) - {"README.txt"} <= set(FORMATS[name].files)


@pytest.mark.parametrize("name", SHARED_README)
def test_strange_names_are_replaced_reversibly(name: str) -> None:
    files = export_files(strangely_named(), name)
    assert b'a \\"b\\":\\n' in files["names.json"]
    others = b"".join(c for path, c in files.items() if path != "names.json")
    assert b'b":\n' not in others
    assert b"names.json" in files["README.txt"]


def test_an_unknown_format_names_the_closest() -> None:
    with pytest.raises(ExportError, match="unknown export format 'tensort'") as caught:
        find_format("tensort")
    assert caught.value.hint.startswith("did you mean 'tensorrt'? formats: qdq")


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(program=strategies.programs())
def test_any_program_is_written_or_refused_with_its_place(program: IntegerProgram) -> None:
    places = {*program.tensors, *(instruction.name for instruction in program.instructions)}
    for name in FORMATS:
        refused = None
        try:
            export_files(program, name)
        except ExportError as error:
            refused = error
        if refused is not None:
            # the second is the C export's, the third that of what has no float form
            starts = (f"{name}: {{!r}} ", "{} (", "{!r} is a ")
            assert any(
                start.format(place) in str(refused) for place in places for start in starts
            )
            assert refused.hint
