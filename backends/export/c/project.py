"""The files of a self-contained C99 project."""

from __future__ import annotations

from intlower.backends.export.c.contract import write_readme
from intlower.backends.export.c.elements import c_type
from intlower.backends.export.c.emitters import emit
from intlower.backends.export.c.names import check_project_name, in_comment
from intlower.backends.export.c.pieces import in_order
from intlower.backends.export.c.vectors import (
    GoldenVectors,
    random_vectors,
    write_test,
    write_vectors,
)
from intlower.backends.export.c.writer import ModelWriter
from intlower.compiler.program import IntegerProgram

_MAKEFILE = """\
CC = cc
CFLAGS = -O3
WARNINGS = -std=c99 -Wall -Wextra -Werror -pedantic

$project.o: $project.c $project.h $project_kernels.h
	$(CC) $(WARNINGS) $(CFLAGS) -c $project.c

.PHONY: test clean
test: $project_test
	./$project_test

$project_test: $project_test.c $project_vectors.h $project.o
	$(CC) $(WARNINGS) $(CFLAGS) -o $@ $project_test.c $project.o

clean:
	rm -f $project.o $project_test
"""


def export_c(
    program: IntegerProgram, *, name: str = "model", vectors: GoldenVectors | None = None
) -> dict[str, bytes]:
    """Return a program as C99: sources, a test with golden vectors, a Makefile, the contract.

    The network needs <stdint.h> and <string.h>; the test needs <stdio.h> too. There is no floating point, no
    allocation and no undefined behaviour, and the result is the program's, integer for integer.

    Args:
        program: what to write.
        name: first word of files and public identifiers.
        vectors: what the test compares; four samples of random codes where None.

    Returns:
        Contents by file name, all in one folder; the same program and vectors give the same bytes.

    Raises:
        NoCForm: an instruction or a tensor has no C form yet; the message names it.
        ExportError: the name does not serve.
    """
    writer = write_network(program, name)
    files = {
        **network_files(writer, name),
        f"{name}_vectors.h": write_vectors(writer, name, vectors or random_vectors(program)),
        f"{name}_test.c": write_test(writer, name),
        "Makefile": _MAKEFILE.replace("$project", name),
        "README.txt": write_readme(writer, name),
    }
    return {path: text.encode("utf-8") for path, text in files.items()}


def write_network(program: IntegerProgram, name: str) -> ModelWriter:
    """Return the writer of a program, all instructions of which are written.

    Raises:
        NoCForm: see `export_c`; ExportError alike.
    """
    check_project_name(name)
    writer = ModelWriter(program)
    for instruction in program.instructions:
        emit(writer, instruction)
    return writer


def network_files(writer: ModelWriter, name: str) -> dict[str, str]:
    """Return the network without test and texts: the three files that are compiled, by name."""
    return {
        f"{name}.h": _header(writer, name),
        f"{name}.c": _source(writer, name),
        f"{name}_kernels.h": _kernels(writer, name),
    }


def _parameters(writer: ModelWriter, name: str) -> str:
    program = writer.program
    parameters = [f"{name}_arena *arena"]
    parameters += [
        f"const {c_type(writer.element(tensor))} *{writer.tensor(tensor)}"
        for tensor in program.inputs
    ]
    parameters += [
        f"{c_type(writer.element(tensor))} *{writer.tensor(tensor)}"
        for tensor in program.outputs
    ]
    return ",\n    ".join(parameters)


def _header(writer: ModelWriter, name: str) -> str:
    program = writer.program
    guard = f"{name.upper()}_H"
    arenas = "".join(
        f"    uint{8 * width}_t codes{8 * width}[{count}];\n"
        for width, count in writer.memory.arena_codes.items()
    )
    edges = "\n".join(
        f"   {role}: {writer.describe(program.tensors[tensor])}"
        for role, tensors in (("input", program.inputs), ("output", program.outputs))
        for tensor in tensors
    )
    return f"""\
/* A network in integers, written by intlower. README.txt says what goes in and what comes out. */
#ifndef {guard}
#define {guard}

#include <stdint.h>

/* Memory of one call for tensors that are neither inputs nor outputs; its contents need not be kept. */
typedef struct {{
{arenas or "    uint8_t unused;" + chr(10)}}} {name}_arena;

/* Computes the outputs of one sample. Images lie as [height, width, channels].
{edges} */
void {name}_run(
    {_parameters(writer, name)});

#endif /* {guard} */
"""


def _source(writer: ModelWriter, name: str) -> str:
    program = writer.program
    read = {tensor for instruction in program.instructions for tensor in instruction.inputs}
    unread = [writer.tensor(tensor) for tensor in program.inputs if tensor not in read]
    unused = [*(() if writer.memory.arena_codes else ("arena",)), *unread]
    ignored = "".join(f"    (void){parameter};\n" for parameter in unused)
    return "\n".join(
        [
            f"/* Target {in_comment(program.target)}; source model {in_comment(program.origin.source_sha256)}. */\n"
            f'#include "{name}.h"\n\n#include "{name}_kernels.h"\n',
            *writer.constants,
            f"void {name}_run(\n    {_parameters(writer, name)})\n{{\n{ignored}"
            + "".join(writer.statements).lstrip("\n")
            + "}\n",
        ]
    )


def _kernels(writer: ModelWriter, name: str) -> str:
    texts = [piece.text for piece in in_order(writer.pieces)]
    guard = f"{name.upper()}_KERNELS_H"
    return "\n".join(
        [
            "/* Integer operators, those that the model needs. Equations are those of intlower's\n"
            "   kernels/numerics.py; where a number is said to be int32, that was proved when the\n"
            "   program was made. */\n"
            f"#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n#include <string.h>\n",
            *texts,
            f"#endif /* {guard} */\n",
        ]
    )
