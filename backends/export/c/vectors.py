"""Golden vectors: inputs and the outputs that the program gives, and the C program that compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from intlower.backends.export.c.elements import c_type, count_of
from intlower.backends.export.c.literals import c_array
from intlower.backends.export.c.writer import ModelWriter
from intlower.compiler.crosscheck import random_inputs
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import simulate_integers

Codes = NDArray[Any]

_MOST_CODES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GoldenVectors:
    """Codes that go in and codes that come out.

    Attributes:
        inputs: one array for each input, [samples, ...] in the program's own order of dimensions.
        outputs: one array for each output alike.
    """

    inputs: Mapping[str, Codes]
    outputs: Mapping[str, Codes]


def golden_vectors(program: IntegerProgram, inputs: Mapping[str, Codes]) -> GoldenVectors:
    """Return inputs with the simulator's outputs.

    Raises:
        DataError: an input is missing or has the wrong shape, type or range.
    """
    return GoldenVectors(inputs=dict(inputs), outputs=simulate_integers(program, inputs))


def random_vectors(program: IntegerProgram) -> GoldenVectors:
    """Return vectors of random codes, the same ones each time: four samples, the last of extremes only.

    Fewer where inputs are large: C compilers take long over long arrays.
    """
    size = sum(count_of(program.tensors[name]) for name in program.inputs)
    return golden_vectors(program, random_inputs(program, min(4, max(1, _MOST_CODES // size))))


def write_vectors(writer: ModelWriter, project: str, vectors: GoldenVectors) -> str:
    """Return the header with the vectors' arrays, in the layout of the C function."""
    program = writer.program
    samples = len(next(iter(vectors.inputs.values())))
    guard = f"{project.upper()}_VECTORS_H"
    parts = [
        f"/* Golden vectors of {project}: codes that go in, codes that must come out. */\n"
        f"#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n\n"
        f"#define {project.upper()}_SAMPLES {samples}\n"
    ]
    for names, arrays, role in (
        (program.inputs, vectors.inputs, "given"),
        (program.outputs, vectors.outputs, "expected"),
    ):
        for index, name in enumerate(names):
            shape = [samples, *writer.layout(name)]
            parts.append(
                c_array(
                    c_type(writer.element(name)),
                    f"{project}_{role}_{index}",
                    in_layout(arrays[name]),
                    f"{writer.tensor(name)}: {shape}",
                )
            )
    parts.append(f"#endif /* {guard} */\n")
    return "\n".join(parts)


def in_layout(codes: Codes) -> Codes:
    """Return samples as the C function has them: images [N, C, H, W] as [N, H, W, C].

    >>> import numpy as np
    >>> in_layout(np.zeros((2, 3, 4, 5))).shape
    (2, 4, 5, 3)
    """
    return codes.transpose(0, 2, 3, 1) if codes.ndim == 4 else codes


def from_layout(codes: Codes, sizes: tuple[int, ...]) -> Codes:
    """Return samples in the program's order of dimensions; the inverse of `in_layout`.

    Args:
        codes: any shape [N, ...], as the C function has them.
        sizes: shape of one sample, as the program has it.

    >>> import numpy as np
    >>> from_layout(np.zeros((2, 60)), (5, 3, 4)).shape
    (2, 5, 3, 4)
    """
    if len(sizes) != 3:
        return codes.reshape(-1, *sizes)
    channels, height, width = sizes
    return codes.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)


def write_test(writer: ModelWriter, project: str) -> str:
    """Return a C program that runs the vectors, prints what differs and exits with 1 if anything does."""
    program = writer.program
    arguments = [f"&{project}_memory"]
    for index, name in enumerate(program.inputs):
        count = count_of(program.tensors[name])
        arguments.append(f"{project}_given_{index} + sample * {count}")
    results = comparisons = ""
    for index, name in enumerate(program.outputs):
        count, result = count_of(program.tensors[name]), f"{project}_result_{index}"
        arguments.append(result)
        results += f"static {c_type(writer.element(name))} {result}[{count}];\n"
        comparisons += f"""\
        for (i = 0; i < {count}; ++i) {{
            const int32_t expected = {project}_expected_{index}[sample * {count} + i];
            ++compared;
            if ({result}[i] != expected && ++differing <= 10) {{
                printf("sample %ld, {writer.tensor(name)}[%ld]: %ld instead of %ld\\n",
                    (long)sample, (long)i, (long){result}[i], (long)expected);
            }}
        }}
"""
    listed = ",\n            ".join(arguments)
    return f"""\
/* Runs {project} on its golden vectors; exits with 0 if every integer is as expected. */
#include <stdio.h>

#include "{project}.h"
#include "{project}_vectors.h"

static {project}_arena {project}_memory;
{results}
int main(void)
{{
    long compared = 0;
    long differing = 0;
    int32_t sample, i;
    for (sample = 0; sample < {project.upper()}_SAMPLES; ++sample) {{
        {project}_run(
            {listed});
{comparisons}    }}
    printf("{project}: %ld integers compared, %ld differ\\n", compared, differing);
    return differing != 0;
}}
"""
