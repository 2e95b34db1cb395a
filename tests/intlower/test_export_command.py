from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from intlower.backends.export.registry import FORMATS


def test_export_lists_its_formats(cli: Any) -> None:
    listed = cli("export", "--list", "--json").document["formats"]
    assert [entry["name"] for entry in listed] == list(FORMATS)
    assert all(entry["meaning"] and entry["expresses"] for entry in listed)
    shown = cli("export", "--list").out
    assert all(name in shown for name in FORMATS)


def test_export_writes_a_folder(cli: Any, artifact: Path) -> None:
    run = cli("export", artifact, "--format", "snpe", "-o", "out", "--json")
    assert run.code == 0
    document = run.document
    assert document["folder"] == "out"
    for path, size in document["files"].items():
        assert (Path("out") / path).stat().st_size == size
    onnx.checker.check_model(onnx.load("out/model.qdq.onnx"), full_check=True)
    assert "What to run next" in Path("out/README.txt").read_text()
    assert "README.txt" in cli("export", artifact, "--format", "json", "-o", "two").out


def test_export_names_the_folder_itself(cli: Any, artifact: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.onnx"
    mine.write_bytes(artifact.read_bytes())
    assert cli("export", mine, "--format", "qdq").code == 0
    assert (tmp_path / "mine.qdq" / "README.txt").exists()


def test_export_overwrites_only_by_force(cli: Any, artifact: Path) -> None:
    arguments = ("export", artifact, "--format", "json", "-o", "out")
    assert cli(*arguments).code == 0
    before = Path("out/program.json").read_bytes()
    assert cli.refuse(*arguments) == "error: out/README.txt exists"
    assert cli(*arguments, "--force").code == 0
    assert Path("out/program.json").read_bytes() == before
    assert json.loads(before)["target"]


def test_export_refuses_what_a_format_cannot_express(cli: Any, artifact: Path) -> None:
    line = cli.refuse("export", artifact, "--format", "vitis", "-o", "out")
    assert line.startswith("error: vitis: '")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give an artifact and --format, or --list"),
        (("missing.onnx",), "give an artifact and --format, or --list"),
        (("missing.onnx", "--format", "qqd"), "unknown export format 'qqd'"),
        (("missing.onnx", "--format", "qdq"), "missing.onnx"),
    ],
)
def test_export_explains_bad_usage(cli: Any, arguments: tuple[str, ...], message: str) -> None:
    assert message in cli.refuse("export", *arguments)
