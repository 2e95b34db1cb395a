"""The C export as a runtime: built with this machine's compiler in a temporary folder, run as a process."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.export.c.elements import c_type, count_of, sizes_of
from intlower.backends.export.c.project import network_files, write_network
from intlower.backends.export.c.vectors import from_layout, in_layout
from intlower.compiler.errors import IntlowerError
from intlower.compiler.program import IntegerProgram, Tensor
from intlower.compiler.simulator import check_codes

Codes = NDArray[Any]

# As the project's own Makefile has them.
FLAGS = ("-std=c99", "-O3")

_LONGEST_SECONDS = 1800


def run_c(
    program: IntegerProgram, inputs: Mapping[str, Codes], *, keep_all: bool = False
) -> dict[str, Codes]:
    """Return the integers that the program's C export computes.

    Args:
        program: an integer program.
        inputs: one array of codes for each input, batch first.
        keep_all: return every tensor, not only the outputs.

    Raises:
        NoCForm: an instruction or a tensor has no C form.
        IntlowerError: there is no C compiler, or it fails, or what it makes does.
        DataError: an input is missing or has the wrong shape, type or range.
    """
    with CWitness(program, keep_all=keep_all) as witness:
        return witness.run(inputs)


class CWitness:
    """A program built as C; a context manager, since its executables lie in a temporary folder.

    Where every tensor is kept, each has memory of its own. So that the memory which tensors share is tried as well, a
    second build keeps the outputs only, and those are its.
    """

    def __init__(self, program: IntegerProgram, *, keep_all: bool = False) -> None:
        self.program = program
        self._folder = tempfile.TemporaryDirectory(prefix="intlower-c-")
        self._builds = [(program, Path(self._folder.name) / "outputs")]
        if keep_all:
            tensors = dict.fromkeys(instruction.output for instruction in program.instructions)
            exposed = replace(program, outputs=tuple(tensors))
            self._builds.insert(0, (exposed, Path(self._folder.name) / "tensors"))
        self.keep_all = keep_all
        try:
            for built, folder in self._builds:
                _build(built, folder)
        except BaseException:
            self._folder.cleanup()
            raise

    def __enter__(self) -> CWitness:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def run(self, inputs: Mapping[str, Codes]) -> dict[str, Codes]:
        """Return the codes of the outputs (of every tensor, if so built).

        Raises:
            IntlowerError: the executable fails.
            DataError: an input is missing or has the wrong shape, type or range.
        """
        codes = check_codes(self.program, inputs)
        results = dict(codes) if self.keep_all else {}
        for built, folder in self._builds:
            results |= _run(built, folder, codes)
        return results


def _build(program: IntegerProgram, folder: Path) -> None:
    """Write an executable `network`: samples on its standard input, outputs on its standard output."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise IntlowerError("there is no C compiler: no command cc", "install gcc or clang")
    files = {
        **network_files(write_network(program, "network"), "network"),
        "main.c": _main(program),
    }
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    _call([compiler, *FLAGS, "-o", "network", "main.c", "network.c"], folder)


def _run(
    program: IntegerProgram, folder: Path, inputs: Mapping[str, Codes]
) -> dict[str, Codes]:
    """Return the outputs of an executable."""
    samples = len(next(iter(inputs.values())))
    rows = [
        np.ascontiguousarray(in_layout(inputs[name])).reshape(samples, -1).view(np.uint8)
        for name in program.inputs
    ]
    tensors = [program.tensors[name] for name in program.outputs]
    widths = [count_of(tensor) * tensor.grid.dtype.itemsize for tensor in tensors]
    written = _call([str(folder / "network")], folder, np.hstack(rows).tobytes())
    if len(written) != samples * sum(widths):
        raise IntlowerError(
            f"the C program wrote {len(written)} bytes instead of {samples * sum(widths)}",
            "look at the files of `intlower export`",
        )
    table = np.frombuffer(written, np.uint8).reshape(samples, -1)
    columns = np.split(table, np.cumsum(widths)[:-1], axis=1)
    return {
        tensor.name: from_layout(
            np.ascontiguousarray(column).view(tensor.grid.dtype), sizes_of(tensor)
        )
        for tensor, column in zip(tensors, columns, strict=True)
    }


def _main(program: IntegerProgram) -> str:
    """Return the C program that reads samples until there are no more."""
    buffers: dict[str, Tensor] = {}
    for role, names in (("input", program.inputs), ("output", program.outputs)):
        buffers |= {f"{role}{i}": program.tensors[name] for i, name in enumerate(names)}
    declared = "\n".join(
        f"static {c_type(tensor.grid.element)} {buffer}[{count_of(tensor)}];"
        for buffer, tensor in buffers.items()
    )
    read, written = (
        " && ".join(
            f"{function}({buffer}, sizeof *{buffer}, {count_of(tensor)}, {stream}) == {count_of(tensor)}"
            for buffer, tensor in buffers.items()
            if buffer.startswith(role)
        )
        for role, function, stream in (
            ("input", "fread", "stdin"),
            ("output", "fwrite", "stdout"),
        )
    )
    return f"""\
#include <stdio.h>

#include "network.h"

static network_arena arena;
{declared}

int main(void)
{{
    while ({read}) {{
        network_run(&arena, {", ".join(buffers)});
        if (!({written})) {{
            return 1;
        }}
    }}
    return ferror(stdin) != 0;
}}
"""


def _call(command: Sequence[str], folder: Path, given: bytes = b"") -> bytes:
    """Return what a command writes.

    Raises:
        IntlowerError: it fails or takes too long.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command, cwd=folder, input=given, capture_output=True, timeout=_LONGEST_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise IntlowerError(f"{name}: {error}", "see that the C compiler works") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        reason = said.splitlines()[0] if said else f"exit status {done.returncode}"
        raise IntlowerError(f"{name}: {reason}", "see that the C compiler works")
    return done.stdout
