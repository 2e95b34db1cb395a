"""Names in a model may hold anything: whatever is written from them stays in the folder that was named."""

from __future__ import annotations

from pathlib import Path

import networks
import onnx
import pytest

import intlower
from intlower.backends.export.registry import FORMATS
from intlower.compiler.crosscheck import random_inputs
from intlower.compiler.errors import ExportError
from intlower.vectors import make_vectors, write_vectors

NAMES = (
    "../../outside",
    "/absolute",
    "a/../../b",
    "..",
    ".",
    "C:\\temp\\x",
    "nul",
    "line\nbreak",
    '"; rm -rf x; #',
    "*/ } int main(void) { /*",
    "\x1b[2J",
    "é\U0001f600",
    "x" * 300,
    "%s%n",
)


def renamed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give every node and every value one of the names."""
    values = dict.fromkeys(
        name for node in model.graph.node for name in (*node.input, *node.output) if name
    )
    new = {
        name: NAMES[i % len(NAMES)] + ("" if i < len(NAMES) else f"{i}")
        for i, name in enumerate(values)
    }
    for i, node in enumerate(model.graph.node):
        node.name = NAMES[i % len(NAMES)]
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new[name] for name in node.output]
    for info in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        info.name = new[info.name]
    return model


@pytest.mark.filterwarnings("ignore::intlower.compiler.errors.CalibrationWarning")
@pytest.mark.parametrize("target", ["tensorrt", "vitis", "litert", "nnie"])
def test_nothing_is_written_outside_the_folder(target: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(renamed(networks.classifier(channels=4, size=6)), path)
    program = intlower.compile(path, target=target)
    folder = tmp_path / "deep" / "er" / "folder"
    folder.mkdir(parents=True)
    intlower.save(program, folder / "artifact.onnx")
    program = intlower.open(folder / "artifact.onnx")
    written = 0
    for name in FORMATS:
        try:
            paths = intlower.export(program, name, folder / name)
        except ExportError:
            continue  # what the format cannot express, or names that it cannot hold
        written += len(paths)
        assert all(file.resolve().is_relative_to(folder / name) for file in paths)
    vectors = make_vectors(program, random_inputs(program, 1))
    write_vectors(vectors, folder / "vectors")
    assert written > 0
    outside = [
        file
        for file in tmp_path.rglob("*")
        if file.is_file() and not file.is_relative_to(folder) and file != path
    ]
    assert outside == []
