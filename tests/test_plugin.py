"""A target of a third party: `tests/plugin` is installed beside intlower, and everything works with it.

Each installation goes to a folder of its own, which reaches a process by PYTHONPATH: nothing is added to the environment
that runs the tests.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import onnx
import pytest
from networks import NetworkBuilder

PLUGIN = Path(__file__).resolve().parent / "plugin"
COMMAND = Path(sysconfig.get_path("scripts")) / "intlower"


def install(folder: Path, edits: dict[str, str]) -> Path:
    """Install the plugin, its sources changed by `edits` (old text to new), into a folder, and return that."""
    sources = folder / "sources"
    shutil.copytree(PLUGIN, sources, ignore=shutil.ignore_patterns("__pycache__"))
    for path in sources.iterdir():
        text = path.read_text(encoding="utf-8")
        for old, new in edits.items():
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
    packages = folder / "packages"
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--no-cache-dir"]
    pip = [sys.executable, "-m", "pip", "--quiet"]
    subprocess.run([*pip, "install", *offline, "--target", packages, sources], check=True)
    return packages


def intlower(*arguments: str, packages: tuple[Path, ...]) -> tuple[int, Any]:
    """Run a command beside installed packages; return its exit code and its JSON."""
    run = subprocess.run(
        [str(COMMAND), *arguments, "--json"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, packages))},
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in run.stderr
    return run.returncode, json.loads(run.stdout)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("toy"), {})


@pytest.fixture(scope="module")
def other_toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same target under the name of another package."""
    edits = {'name = "intlower-toy-target"': 'name = "another-toy-target"'}
    return install(tmp_path_factory.mktemp("other"), edits)


@pytest.fixture(scope="module")
def broken_toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A target whose module needs a library that is not there."""
    edits = {
        "toynpu": "brokennpu",
        "intlower-toy-target": "broken-toy-target",
        "from intlower.backends.uniform": "from vendor_sdk_that_is_absent",
    }
    return install(tmp_path_factory.mktemp("broken"), edits)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convolutions, dense and depthwise, with batch norm, a residual sum, a mean and a classifier."""
    b = NetworkBuilder(seed=7)
    x = b.conv("image", 3, 8, 3, pads=[1, 1, 1, 1], strides=[2, 2], bias=False)
    shortcut = b.relu(b.batch_norm(x, 8))
    x = b.batch_norm(b.conv(shortcut, 8, 8, 3, group=8, pads=[1, 1, 1, 1]), 8)
    x = b.node("GlobalAveragePool", b.node("Add", x, shortcut))
    scores = b.gemm(b.node("Flatten", x), 8, 5)
    path = tmp_path_factory.mktemp("network") / "toy.onnx"
    onnx.save(b.model({"image": ["N", 3, 11, 11]}, scores), path)
    return path


@pytest.fixture(scope="module")
def artifact(toy: Path, network: Path) -> Path:
    """The network, compiled for the installed target."""
    path = network.with_name("toy.toynpu.onnx")
    arguments = ("compile", str(network), "--target", "toynpu", "-o", str(path))
    code, compiled = intlower(*arguments, packages=(toy,))
    assert code == 0, compiled
    assert compiled["target"] == "toynpu"
    return path


def test_an_installed_target_is_listed(toy: Path) -> None:
    code, listed = intlower("targets", packages=(toy,))
    assert code == 0
    assert {"toynpu", "snpe", "tensorrt"} <= {target["name"] for target in listed["targets"]}


@pytest.mark.slow
def test_a_network_compiled_for_an_installed_target_is_bit_exact_in_onnxruntime(
    toy: Path, artifact: Path
) -> None:
    code, verified = intlower("verify", str(artifact), packages=(toy,))
    assert code == 0, verified
    assert verified["onnxruntime"]["compared"] > 0
    assert verified["onnxruntime"]["mismatches"] == 0


@pytest.mark.slow
def test_an_artifact_runs_where_its_target_is_not_installed(artifact: Path) -> None:
    code, verified = intlower("verify", str(artifact), packages=())
    assert code == 0, verified
    assert verified["onnxruntime"]["mismatches"] == 0


def test_a_target_that_is_not_installed_is_unknown() -> None:
    code, document = intlower("targets", "toynpu", packages=())
    assert (code, document["error"]["type"]) == (2, "UnknownTarget")


def test_two_packages_with_one_target_name_are_an_error_naming_both(
    toy: Path, other_toy: Path
) -> None:
    code, document = intlower("targets", "toynpu", packages=(toy, other_toy))
    assert (code, document["error"]["type"]) == (2, "DuplicateTarget")
    assert "intlower-toy-target" in document["error"]["message"]
    assert "another-toy-target" in document["error"]["message"]


def test_a_target_that_cannot_be_imported_is_an_error_only_when_it_is_used(
    broken_toy: Path,
) -> None:
    code, contract = intlower("targets", "tensorrt", packages=(broken_toy,))
    assert (code, contract["name"]) == (0, "tensorrt")

    code, document = intlower("targets", "brokennpu", packages=(broken_toy,))
    assert (code, document["error"]["type"]) == (2, "TargetError")
    assert "broken-toy-target" in document["error"]["message"]
    assert "vendor_sdk_that_is_absent" in document["error"]["message"]

    code, listed = intlower("targets", packages=(broken_toy,))
    assert code == 0
    assert {"snpe", "tensorrt"} <= {target["name"] for target in listed["targets"]}
    assert [failure["name"] for failure in listed["failures"]] == ["brokennpu"]
