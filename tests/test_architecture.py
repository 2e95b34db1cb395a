"""The rules of CONTRIBUTING.md that no single file shows, read from the syntax trees of the sources."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# The floors of the building: a module imports its own floor and those below.
FLOORS = {"kernels": 0, "compiler": 1, "backends": 2, "intlower": 3}
SOURCES = tuple(
    sorted(
        path.relative_to(ROOT) for folder in FLOORS for path in (ROOT / folder).rglob("*.py")
    )
)

LONGEST_FILE = 400  # lines; the aim is 350, and past this a file has a second topic
HEAVY_LIBRARIES = {"distributed", "joblib", "numba", "onnx", "onnxruntime", "torch"}
NUMBA_MODULES = {Path("compiler/plan.py"), Path("compiler/simulator.py")}

# Modules and calls that run what a file says.
UNSAFE_MODULES = {"cloudpickle", "dill", "marshal", "pickle", "shelve"}
# joblib.load, dump, hash and Memory read and write pickles. Running functions in processes of our own does too, but only
# what this program sent to them itself: a data file has no part in it. Nothing else of joblib may be imported, nor the
# whole module, which would hide what is used of it.
SAFE_JOBLIB = {"joblib.Parallel", "joblib.delayed", "joblib.parallel_config"}
UNSAFE_CALLS = {"eval", "exec", "__import__", "torch.load", "torch.jit.load"}


@cache
def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a source file, its path relative to the repository."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))


def imported_modules(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every import anywhere in a file.

    `from intlower import kernels` counts as `intlower.kernels`; a relative import keeps its dots.
    """
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            for alias in node.names:
                yield node.lineno, f"{origin}.{alias.name}"


def floor_of(name: str) -> int | None:
    """Return the floor of a dotted module name; None for other people's modules."""
    package, _, rest = name.partition(".")
    if package != "intlower":
        return None
    return FLOORS.get(rest.partition(".")[0], FLOORS["intlower"])


def dotted(node: ast.expr) -> str:
    """Return `a.b.c` for a chain of attributes on a name, else what follows the last call."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}".lstrip(".")
    return node.id if isinstance(node, ast.Name) else ""


def unsafe_uses(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, what) of everything that could run what a file says."""
    for line, name in imported_modules(module):
        package = name.partition(".")[0]
        if package in UNSAFE_MODULES or (package == "joblib" and name not in SAFE_JOBLIB):
            yield line, f"imports {name}"
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        if dotted(node.func) in UNSAFE_CALLS:
            yield node.lineno, f"calls {dotted(node.func)}"
        for keyword in node.keywords:
            if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False":
                yield node.lineno, "allows pickles"


def name_branches(module: ast.Module, targets: set[str]) -> Iterator[int]:
    """Yield the line of every comparison of a target's name with a literal string.

    Such is one between a literal and `target`, `*.spec.name` or `*.target`, or with the name of a built-in target.
    """
    for node in ast.walk(module):
        subjects: list[ast.expr]
        compared: list[ast.AST]
        match node:
            case ast.Compare():
                subjects = [node.left, *node.comparators]
                compared = [*subjects]
            case ast.Match():
                subjects = [node.subject]
                compared = [case.pattern for case in node.cases]
            case _:
                continue
        literals = {
            inner.value
            for side in compared
            for inner in ast.walk(side)
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str)
        }
        paths = [dotted(subject).split(".")[-2:] for subject in subjects]
        asked = any(path[-1] == "target" or path == ["spec", "name"] for path in paths)
        if literals & targets or (literals and asked):
            yield node.lineno


def built_in_targets() -> set[str]:
    """Return the names of the targets that this package provides."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return set(project["entry-points"]["intlower.targets"])


def test_imports_only_point_down() -> None:
    upward = [
        f"{path}:{line} imports {name}"
        for path in SOURCES
        for line, name in imported_modules(tree(path))
        if (floor := floor_of(name)) is not None and floor > FLOORS[path.parts[0]]
    ]
    assert upward == []


def test_every_form_of_import_is_seen() -> None:
    module = ast.parse(
        "from intlower import compiler\n"
        "import intlower.backends.uniform\n"
        "if TYPE_CHECKING:\n"
        "    from intlower.api import compile\n"
        "def late():\n"
        "    import numpy as np, intlower\n"
    )
    floors = [floor_of(name) for _, name in sorted(imported_modules(module))]
    assert floors == [1, 2, 3, 3, None]


def test_imports_are_absolute_and_never_bare_folder_names() -> None:
    folders = set(FLOORS) - {"intlower"}
    wrong = [
        f"{path}:{line} imports {name}"
        for path in SOURCES
        for line, name in imported_modules(tree(path))
        if name.startswith(".") or name.partition(".")[0] in folders
    ]
    assert wrong == []


def test_kernels_know_no_graph_library() -> None:
    wrong = [
        f"{path}:{line} imports {name}"
        for path in SOURCES
        if path.parts[0] == "kernels"
        for line, name in imported_modules(tree(path))
        if name.partition(".")[0] in HEAVY_LIBRARIES - {"numba"}
    ]
    assert wrong == []


def test_numba_is_imported_by_kernels_and_by_what_runs_them() -> None:
    wrong = [
        f"{path}:{line} imports {name}"
        for path in SOURCES
        if path.parts[0] != "kernels" and path not in NUMBA_MODULES
        for line, name in imported_modules(tree(path))
        if name.partition(".")[0] in {"numba", "llvmlite"}
    ]
    assert wrong == []


def test_no_source_can_run_what_a_data_file_says() -> None:
    unsafe = [
        f"{path}:{line} {what}" for path in SOURCES for line, what in unsafe_uses(tree(path))
    ]
    assert unsafe == []


@pytest.mark.parametrize(
    "source",
    [
        "from pickle import loads",
        "import joblib",
        "from joblib import Parallel, load",
        "from joblib.numpy_pickle import load",
        "values = [eval(text)]",
        "state = torch.load(path, weights_only=True)",
        "numpy.load(path, allow_pickle=flag)",
    ],
)
def test_every_form_of_unsafe_use_is_seen(source: str) -> None:
    assert [line for line, _ in unsafe_uses(ast.parse(source))] == [1]


def test_no_source_file_is_too_long() -> None:
    lines = {
        str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines())
        for path in SOURCES
    }
    assert {path: count for path, count in lines.items() if count > LONGEST_FILE} == {}


def test_compiler_and_kernels_name_no_target() -> None:
    names = built_in_targets()
    named = [
        f"{path}:{node.lineno} says {node.value!r}"
        for path in SOURCES
        if path.parts[0] in {"compiler", "kernels"}
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and node.value in names
    ]
    assert named == []


def test_no_target_is_recognized_by_its_name() -> None:
    names = built_in_targets()
    found = [
        f"{path}:{line} branches on the name of a target"
        for path in SOURCES
        for line in name_branches(tree(path), names)
    ]
    assert found == []


@pytest.mark.parametrize(
    "branch",
    [
        "if target == 'mine': pass",
        "if spec.name in ('mine', 'other'): pass",
        "x = 1 if 'mine' != self.target.spec.name else 2",
        "while anything == 'built_in': pass",
        "match program.target:\n    case 'mine': pass",
    ],
)
def test_every_form_of_branch_on_a_name_is_seen(branch: str) -> None:
    assert list(name_branches(ast.parse(branch), {"built_in"})) == [1]


@pytest.mark.parametrize("folder", ["backends", "compiler", "kernels"])
def test_the_folders_are_reached_through_committed_relative_links(folder: str) -> None:
    link = ROOT / "intlower" / folder
    assert link.is_symlink()
    assert os.readlink(link) == f"../{folder}"
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this copy of the sources is not a git repository")
    listed = subprocess.run(
        ["git", "ls-files", "--stage", f"intlower/{folder}"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert listed.startswith("120000 ")  # git's mode of a symbolic link


@pytest.mark.parametrize("arguments", [["--help"], ["targets"]])
def test_commands_that_compute_nothing_load_no_heavy_library(arguments: list[str]) -> None:
    script = "import sys; from intlower.cli import main; sys.argv = ['intlower', *sys.argv[1:]]; main()"
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", script, *arguments],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    loaded = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines()}
    assert "intlower.cli" in loaded
    assert loaded & HEAVY_LIBRARIES == set()
