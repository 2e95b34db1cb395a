"""The command line run in this process, on the embedded network."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import intlower
from intlower.cli import main

TARGETS = ("snpe", "tensorrt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one command did: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document


class CommandLine:
    """Runs commands in a folder of their own, with the demo's files beside them."""

    def __init__(self, model: Path, data: Path) -> None:
        self.model = model
        self.data = data

    def __call__(self, *arguments: object) -> Run:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return Run(code=result.exit_code, out=result.stdout, err=result.stderr)

    def refuse(self, *arguments: object) -> str:
        """Run a command that must fail as bad input does; return its `error:` line."""
        before = sorted(Path().rglob("*"))
        run = self(*arguments)
        lines = run.err.splitlines()
        assert run.code == 2, run
        assert run.out == ""
        assert [line.partition(" ")[0] for line in lines] == ["error:", "hint:"], run.err
        assert "internal error" not in run.err
        assert len(lines[1]) > len("hint: ")
        assert sorted(Path().rglob("*")) == before
        return lines[0]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandLine]:
    """The command line, in an empty current folder."""
    demo = importlib.resources.files("intlower.demo")
    with (
        importlib.resources.as_file(demo / "digits.onnx") as model,
        importlib.resources.as_file(demo / "digits.npz") as data,
    ):
        monkeypatch.chdir(tmp_path)
        yield CommandLine(model, data)


@pytest.fixture(scope="session", params=TARGETS)
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded network compiled for one target after the other."""
    return compiled(request.param, tmp_path_factory.mktemp("artifact"))


@pytest.fixture(scope="session")
def some_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded network compiled for any target."""
    return compiled(TARGETS[0], tmp_path_factory.mktemp("artifact"))


def compiled(target: str, folder: Path) -> Path:
    """Compile the embedded network into a folder; return the artifact's path."""
    path = folder / f"digits.{target}.onnx"
    demo = importlib.resources.files("intlower.demo")
    with importlib.resources.as_file(demo / "digits.onnx") as model:
        intlower.save(intlower.compile(model, target=target), path)
    return path


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """The held-out images of the embedded network: float32 [360, 1, 8, 8]."""
    demo = importlib.resources.files("intlower.demo")
    with importlib.resources.as_file(demo / "digits.npz") as data, np.load(data) as stored:
        return np.asarray(stored["image"])
