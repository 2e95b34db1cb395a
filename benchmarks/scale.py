"""Time and memory that compiling without data takes, for networks of many sizes: docs/scale.md.

    python benchmarks/scale.py [--target NAME] [--write docs/scale.md] [NETWORK ...]

Each network is compiled and its artifact written in a process of its own. Seconds are those of the processor, all threads
together: other work on the machine changes them little. The table goes between `<!-- scale NAME -->` marks. Memory is the most that the process held at once
(VmHWM of /proc/self/status) less what it holds after a small network was compiled: the libraries, which no network changes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import onnx
from make_networks import Network
from scale_networks import NETWORKS

from intlower.markdown import markdown_table, write_marked

HERE = Path(__file__).resolve()
MIB = 1 << 20


def memory_bytes(key: str) -> int:
    """Return an entry of /proc/self/status."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) << 10
    raise ValueError(key)


def compile_once(path: Path, target: str) -> int:
    """Compile a model without data and write the artifact beside it; return the number of instructions."""
    import intlower

    program = intlower.compile(path, target=target)
    intlower.save(program, path.with_suffix(".artifact"))
    return len(program.instructions)


def measure(name: str, target: str) -> dict[str, float]:
    """Return what compiling a network takes; for a process that has compiled nothing yet."""
    with tempfile.TemporaryDirectory() as folder:
        tiny, path = Path(folder) / "tiny.onnx", Path(folder) / "model.onnx"
        onnx.save(_tiny(), tiny)
        # Made elsewhere, so that its memory is not ours.
        script = f"import onnx, scale_networks as s; onnx.save(s.NETWORKS[{name!r}](), {str(path)!r})"
        subprocess.run([sys.executable, "-c", script], check=True, cwd=HERE.parent)
        compile_once(tiny, target)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM is VmRSS again
        before, begin = memory_bytes("VmRSS"), time.process_time()
        instructions = compile_once(path, target)
        seconds = time.process_time() - begin
        return {
            "seconds": seconds,
            "peak_bytes": memory_bytes("VmHWM") - before,
            "model_bytes": path.stat().st_size,
            "instructions": instructions,
        }


def _tiny() -> onnx.ModelProto:
    network = Network("tiny")
    return network.classify(network.relu(network.conv("image", 8, 3, 32)))


def row(name: str, target: str) -> list[str]:
    """Return a network's line of the table."""
    command = [sys.executable, str(HERE), "--one", "--target", target, name]
    run = subprocess.run(
        command, check=True, capture_output=True, text=True, env=dict(os.environ)
    )
    found = json.loads(run.stdout)
    size, peak, seconds = found["model_bytes"], found["peak_bytes"], found["seconds"]
    instructions = int(found["instructions"])
    return [
        name,
        f"{size / MIB:.0f}",
        str(instructions),
        f"{seconds:.1f}",
        f"{1000 * seconds / instructions:.1f}",
        f"{peak / MIB:.0f}",
        f"{peak / size:.1f}",
    ]


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(NETWORKS)))
@click.option("--target", default="tensorrt", show_default=True)
@click.option("--write", type=click.Path(path_type=Path), help="Put the table into this file.")
@click.option("--one", is_flag=True, help="Measure one network in this process, as JSON.")
def main(names: tuple[str, ...], target: str, write: Path | None, one: bool) -> None:
    """Print the table."""
    if one:
        click.echo(json.dumps(measure(names[0], target)))
        return
    columns = [
        "network",
        "model MiB",
        "instructions",
        "seconds",
        "ms per instruction",
        "memory MiB",
        "memory / model",
    ]
    rows = [row(name, target) for name in names or NETWORKS]
    table = markdown_table(columns, rows, columns[1:])
    click.echo(table)
    if write is not None:
        write_marked(write, f"scale {target}", table)


if __name__ == "__main__":
    main()
