"""The system's C compiler: many generated projects in one build."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

COMPILER = shutil.which("cc")
FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
SANITIZERS = "-fsanitize=undefined,address"

needs_compiler = pytest.mark.skipif(
    COMPILER is None, reason="no C compiler: there is no command cc"
)


def sanitizing(folder: Path) -> tuple[str, ...]:
    """Return the flags that make undefined behaviour and stray accesses errors, where the compiler has them.

    Args:
        folder: where to try them.
    """
    source = folder / "empty.c"
    source.write_text("int main(void) { return 0; }\n")
    flags = (SANITIZERS, "-fno-sanitize-recover=all")
    tried = _run(["cc", *flags, "-o", str(folder / "empty"), str(source)])
    if tried.returncode or _run([str(folder / "empty")]).returncode:
        return ()
    return flags


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files of a project."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def differences(
    projects: Mapping[str, Mapping[str, bytes]], folder: Path, flags: Sequence[str] = ("-O1",)
) -> dict[str, tuple[int, int]]:
    """Return for each project how many integers its test compares and how many differ: one build, one run.

    Args:
        projects: files by project name.
        folder: where to write and to build.
        flags: of the compiler, beyond the strict ones.

    Raises:
        AssertionError: the compiler warns, or a sanitizer stops the run.
    """
    driver = ""
    for name, files in projects.items():
        write(files, folder / name)
        driver += f'#define main {name}_main\n#include "{name}/{name}_test.c"\n#undef main\n'
    calls = "".join(f"    {name}_main();\n" for name in projects)
    (folder / "driver.c").write_text(f"{driver}int main(void)\n{{\n{calls}    return 0;\n}}\n")
    sources = [str(folder / name / f"{name}.c") for name in projects]
    program = folder / "driver"
    built = _run(["cc", *FLAGS, *flags, "-o", str(program), str(folder / "driver.c"), *sources])
    assert built.returncode == 0, built.stderr[:3000]
    assert built.stderr == ""
    run = _run([str(program)])
    assert run.returncode == 0, (run.stdout + run.stderr)[-3000:]
    found = {}
    for line in run.stdout.splitlines():
        name, _, counts = line.partition(": ")
        if name in projects:
            words = counts.split()
            found[name] = (int(words[0]), int(words[3]))
    assert set(found) == set(projects)
    return found


def run_source(source: str, folder: Path, flags: Sequence[str] = ()) -> str:
    """Return what a C program prints.

    Raises:
        AssertionError: the compiler warns, or the program fails.
    """
    (folder / "source.c").write_text(source)
    program = str(folder / "source")
    built = _run(["cc", *FLAGS, *flags, "-o", program, str(folder / "source.c")])
    assert built.returncode == 0, built.stderr[:3000]
    run = _run([program])
    assert run.returncode == 0, (run.stdout + run.stderr)[-3000:]
    return run.stdout


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=300)
