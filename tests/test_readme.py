"""Every code block of the README is run, as it stands."""

from __future__ import annotations

import importlib.resources
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from intlower.cli import main

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the README supposes it: a model, samples for it, and labelled data."""
    folder = tmp_path_factory.mktemp("readme")
    demo = importlib.resources.files("intlower.demo")
    with importlib.resources.as_file(demo / "digits.onnx") as model:
        shutil.copy(model, folder / "model.onnx")
    with importlib.resources.as_file(demo / "digits.npz") as data:
        stored = np.load(data)
        np.savez(
            folder / "labelled.npz", image=stored["image"][:40], labels=stored["labels"][:40]
        )
        np.savez(folder / "samples.npz", image=stored["image"][:4])
    return folder


def test_the_readme_has_the_blocks_that_are_run_here() -> None:
    assert [language for language, _ in BLOCKS] == [
        "sh",
        "python",
        "sh",
        "sh",
        "sh",
        "toml",
        "sh",
    ]


@pytest.mark.parametrize(
    "command", [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
)
def test_a_shell_line_of_the_readme_runs(
    folder: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The lines build on one another: what an earlier one makes is made here if it ran elsewhere.
    monkeypatch.chdir(folder)
    if command != _first_line() and not (folder / "model.tensorrt.onnx").exists():
        _run(_first_line())
    _run(command)


def test_the_installed_command_runs_the_first_line_of_the_readme(folder: Path) -> None:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    result = subprocess.run(
        shlex.split(_first_line()),
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "python"])
def test_a_python_block_of_the_readme_runs(folder: Path, text: str) -> None:
    setting = "import numpy\nimages = numpy.load('samples.npz')['image']\n"
    check = "assert outputs['logits'].shape == (4, 10)\n"
    subprocess.run([sys.executable, "-c", setting + text + check], cwd=folder, check=True)


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "toml"])
def test_a_toml_block_of_the_readme_names_the_entry_point_group(text: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (
        tomllib.loads(text)["project"]["entry-points"].keys() == project["entry-points"].keys()
    )


def test_the_readme_lists_every_built_in_target() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "README.md").read_text()
    for name in project["entry-points"]["intlower.targets"]:
        assert f"| `{name}` |" in text


def _first_line() -> str:
    return BLOCKS[0][1].splitlines()[0]


def _run(command: str) -> None:
    words = shlex.split(command)
    assert words[0] == "intlower"
    result = CliRunner().invoke(
        main, words[1:]
    )  # a process for each line would take seconds to start
    assert result.exit_code == 0, result.output
    assert result.stdout
