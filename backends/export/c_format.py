"""`c`: the program as self-contained C99, with a test of its own; `backends/export/c` writes it."""

from __future__ import annotations

from intlower.backends.export.c.project import export_c
from intlower.backends.export.format import Files, Format
from intlower.compiler.grids import LogGrid, UniformGrid
from intlower.compiler.program import IntegerProgram


def _write(program: IntegerProgram) -> Files:
    return export_c(program)


FORMAT = Format(
    name="c",
    meaning="self-contained C99, integers only, with golden vectors",
    expresses="uniform and logarithmic grids; not half precision",
    write=_write,
    files={
        "model.h": "the network's one function",
        "model.c": "constants and calls",
        "model_kernels.h": "integer kernels",
        "model_vectors.h": "golden vectors",
        "model_test.c": "runs them and compares every integer",
        "Makefile": "make test",
    },
    commands=lambda program: ("make test",),
    # Comments alone bear names, and escape what they must.
    characters=r"[\s\S]",
    grids=(UniformGrid, LogGrid),
)
