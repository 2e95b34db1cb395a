"""What a person who installs intlower gets: the wheel, its dependencies and their tested versions."""

from __future__ import annotations

import ast
import configparser
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("backends", "compiler", "kernels")


def project() -> dict[str, Any]:
    """Return the table `[project]` of pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    table: dict[str, Any] = tomllib.loads(text)["project"]
    return table


def package_files() -> set[str]:
    """Return the path below `intlower/` of every file of the package, through its links."""
    return {
        (Path(folder) / name).relative_to(ROOT).as_posix()
        for folder, _, names in os.walk(ROOT / "intlower", followlinks=True)
        for name in names
        if Path(folder).name != "__pycache__"
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, offline, from a copy of the sources: a build writes beside them."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    sources.mkdir()
    for name in ("intlower", *FOLDERS):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, sources / name, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, sources)
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--no-cache-dir"]
    pip = [sys.executable, "-m", "pip", "--quiet"]
    subprocess.run([*pip, "wheel", *offline, "--wheel-dir", folder, sources], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_every_file_of_the_package(contents: dict[str, bytes]) -> None:
    files = package_files()
    assert {
        "intlower/py.typed",
        "intlower/kernels/numerics.py",
        "intlower/compiler/graph.py",
    } <= files
    assert {name for name in contents if name.startswith("intlower/")} == files


def test_the_wheel_claims_no_import_name_but_intlower(contents: dict[str, bytes]) -> None:
    tops = {name.partition("/")[0] for name in contents}
    assert tops == {"intlower", f"intlower-{project()['version']}.dist-info"}


def test_the_wheel_carries_the_licence(contents: dict[str, bytes]) -> None:
    information = f"intlower-{project()['version']}.dist-info"
    licence = contents[f"{information}/licenses/LICENSE"]
    assert licence == (ROOT / "LICENSE").read_bytes()
    assert b"License-Expression: Apache-2.0" in contents[f"{information}/METADATA"]


def test_the_wheel_provides_the_command_and_the_targets(contents: dict[str, bytes]) -> None:
    parser = configparser.ConfigParser()
    parser.read_string(
        contents[f"intlower-{project()['version']}.dist-info/entry_points.txt"].decode()
    )
    assert dict(parser["console_scripts"]) == project()["scripts"]
    targets = project()["entry-points"]["intlower.targets"]
    assert dict(parser["intlower.targets"]) == targets
    for value in targets.values():
        module = value.partition(":")[0].replace(".", "/")
        assert f"{module}.py" in contents or f"{module}/__init__.py" in contents


def test_the_unpacked_wheel_runs_without_the_repository(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    script = (
        "import intlower.kernels.numerics as n, intlower.cli as c; print(n.__file__); c.main()"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, "targets"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    origin, _, listing = run.stdout.partition("\n")
    assert Path(origin) == tmp_path / "intlower" / "kernels" / "numerics.py"
    assert all(name in listing for name in project()["entry-points"]["intlower.targets"])


def test_the_declared_dependencies_are_the_libraries_that_are_imported() -> None:
    imported: set[str] = set()
    for name in package_files():
        if not name.endswith(".py"):
            continue
        for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"), name)):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                imported.add(node.module.partition(".")[0])
    imported -= {"intlower"} | sys.stdlib_module_names
    distributions = packages_distributions()  # google.protobuf is provided by protobuf
    providers = {name: set(distributions.get(name, [name])) for name in imported}
    declared = {Requirement(text).name for text in project()["dependencies"]}
    # Witnesses import what extras install, and say so where it is missing.
    extras = {
        canonicalize_name(Requirement(text).name)
        for texts in project()["optional-dependencies"].values()
        for text in texts
    }
    undeclared = {name for name in imported if not providers[name] & declared}
    assert {canonicalize_name(name) for name in undeclared} <= extras
    assert declared - set().union(*providers.values()) == set()


def test_every_dependency_has_one_tested_version() -> None:
    pins = [
        Requirement(line)
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert all([s.operator for s in pin.specifier] == ["=="] for pin in pins)
    pinned = {canonicalize_name(pin.name): pin.specifier for pin in pins}
    assert len(pinned) == len(pins)

    # What an extra needs is not there where the extra is not, or was installed without what it needs.
    waiting = [
        (Requirement(text), True)
        for texts in project()["optional-dependencies"].values()
        for text in texts
    ]
    waiting += [(Requirement(text), False) for text in project()["dependencies"]]
    visited: set[str] = set()
    while waiting:
        requirement, optional = waiting.pop()
        name = canonicalize_name(requirement.name)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if not applies or name in visited:
            continue
        visited.add(name)
        assert name in pinned, f"{requirement} has no tested version in constraints.txt"
        (version,) = pinned[name]
        assert requirement.specifier.contains(version.version)
        try:
            waiting += [(Requirement(text), optional) for text in requires(name) or []]
        except PackageNotFoundError:  # `make test` installs [dev] and not [train]
            assert optional
