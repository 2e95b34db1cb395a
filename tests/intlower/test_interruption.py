"""A full disk, Ctrl-C and a kill while a command writes: the old file is there, or the new one, and nothing else."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

OLD = b"what was there before"


def snapshot() -> dict[str, bytes]:
    """Return the contents of every file in the current folder."""
    return {
        str(path): path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()
    }


def compile_command(cli: Any, artifact: Path, images: Any) -> tuple[object, ...]:
    Path("out.onnx").write_bytes(OLD)
    return ("compile", cli.model, "--target", "tensorrt", "-o", "out.onnx")


def simulate_command(cli: Any, artifact: Path, images: Any) -> tuple[object, ...]:
    np.savez("in.npz", image=images[:200])
    Path("out.npz").write_bytes(OLD)
    return ("simulate", artifact, "--input", "in.npz", "--output", "out.npz")


def export_command(cli: Any, artifact: Path, images: Any) -> tuple[object, ...]:
    Path("out").mkdir()
    Path("out/README.txt").write_bytes(OLD)
    return ("export", artifact, "--format", "c", "-o", "out", "--force")


def vectors_command(cli: Any, artifact: Path, images: Any) -> tuple[object, ...]:
    assert cli("vectors", artifact, "-o", "out", "--count", 1).code == 0
    return ("vectors", artifact, "-o", "out", "--count", 2, "--force")


def compare_command(cli: Any, artifact: Path, images: Any) -> tuple[object, ...]:
    labels = np.zeros(8, np.int64)
    np.savez("in.npz", image=images[:8], labels=labels)
    filling = "x" * 5000
    Path("table.md").write_text(f"<!-- compare -->\n<!-- /compare -->\n{filling}")
    return (
        "compare",
        cli.model,
        "--targets",
        "tensorrt",
        "--data",
        "in.npz",
        "--write",
        "table.md",
    )


Prepare = Callable[[Any, Path, Any], tuple[object, ...]]
COMMANDS = pytest.mark.parametrize(
    "prepare",
    [compile_command, simulate_command, export_command, vectors_command, compare_command],
    ids=lambda prepare: str(prepare.__name__).removesuffix("_command"),
)


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """No file grows past so many bytes: writes fail as they do on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@COMMANDS
def test_a_full_disk_leaves_what_was_there(
    cli: Any, some_artifact: Path, images: Any, prepare: Prepare
) -> None:
    command = prepare(cli, some_artifact, images)
    before = snapshot()
    with file_size_limit(500):
        run = cli(*command)
    assert run.code == 2
    assert [line.partition(" ")[0] for line in run.err.splitlines()][-2:] == ["error:", "hint:"]
    assert "internal" not in run.err
    assert "too large" in run.err
    assert snapshot() == before


@COMMANDS
def test_ctrl_c_while_the_file_takes_its_place_leaves_what_was_there(
    cli: Any,
    some_artifact: Path,
    images: Any,
    prepare: Prepare,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = prepare(cli, some_artifact, images)
    before = snapshot()

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", interrupted)
        run = cli(*command)
    assert run.code == 130
    assert run.err.splitlines()[-1] == "interrupted"
    assert snapshot() == before


# The process dies by SIGKILL when it first flushes or renames: nothing is cleaned up.
KILLED = """
import os, signal, sys
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
os.fsync = os.replace = die
from intlower.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("prepare", [compile_command, vectors_command])
def test_a_kill_leaves_what_was_there_and_a_hidden_file_at_most(
    cli: Any, some_artifact: Path, images: Any, prepare: Prepare
) -> None:
    command = prepare(cli, some_artifact, images)
    before = snapshot()
    process = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, command)], capture_output=True, check=False
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    visible = {
        name: data
        for name, data in snapshot().items()
        if not any(part.startswith((".", "tmp")) for part in Path(name).parts)
    }
    assert visible == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    "options", [["targets"], ["targets", "--json"], ["targets", "x", "--json"]]
)
def test_a_full_disk_under_stdout_is_two_lines(options: list[str]) -> None:
    script = "from intlower.cli import main; main()"
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run(
            [sys.executable, "-c", script, *options],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            env=dict(os.environ),
        )
    lines = process.stderr.decode().splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["error:", "hint:"]
    assert process.returncode == 2
