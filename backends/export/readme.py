"""README.txt of an export: the contract of inputs and outputs, the files, and what to run next."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping

from intlower.backends.export.format import Format, shortest
from intlower.compiler.grids import LogGrid, UniformGrid
from intlower.compiler.program import IntegerProgram, Tensor

_WIDTH = 100
_ALWAYS = {
    "README.txt": "this file",
    "names.json": "the model's name of every name that was replaced",
}
_LAYOUTS = {2: "NC", 3: "NCW", 4: "NCHW"}


def readme(
    target_format: Format,
    program: IntegerProgram,
    files: Iterable[str],
    originals: Mapping[str, str],
) -> str:
    """Return the text of README.txt.

    Args:
        target_format: what was written.
        program: with the names of the files.
        files: paths that were written.
        originals: the model's name of every name that was made safe.
    """
    sections = [
        _heading(f"{target_format.name}: {target_format.meaning}", "="),
        _wrapped(
            f"An integer program for the target {program.target!r}, written by intlower. "
            f"Source model sha256 {program.origin.source_sha256}."
        ),
        _heading("Files"),
        *(
            f"  {path:<28} {({**_ALWAYS, **target_format.files}).get(path, '')}".rstrip()
            for path in sorted(files)
        ),
        _heading("Inputs"),
        *(
            _edge(program.tensors[name], "code = clamp(round(x / scale) + zero point)")
            for name in program.inputs
        ),
        _wrapped(
            "x is a number as the float model takes it, after the preprocessing it was trained with. "
            f"The ranges are from: {program.origin.calibration}."
        ),
        _heading("Outputs"),
        *(
            _edge(program.tensors[name], "x = scale * (code - zero point)")
            for name in program.outputs
        ),
        *(
            f"  {step.output}: {step.operator} of {step.input} along axis {step.axis}, in float, on the host"
            for step in program.host
        ),
        _heading("What to run next"),
        *(f"  {command}" for command in target_format.commands(program)),
    ]
    notes = list(target_format.notes)
    if originals:
        notes.append(
            f"{len(originals)} names of the model are not allowed here and were replaced; names.json maps them back."
        )
    if notes:
        sections += [_heading("Notes"), *(_wrapped(note, "- ") for note in notes)]
    return "\n".join(sections) + "\n"


def _heading(text: str, line: str = "-") -> str:
    before = "" if line == "=" else "\n"
    return f"{before}{text}\n{line * len(text)}"


def _wrapped(text: str, mark: str = "") -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=f"  {mark}",
        subsequent_indent="  " + " " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _edge(tensor: Tensor, rule: str) -> str:
    grid = tensor.grid
    shape = "x".join("N" if size is None else str(size) for size in tensor.shape)
    order = _LAYOUTS.get(len(tensor.shape), "row major")
    least, greatest = grid.real_limits
    facts = {
        "dtype": grid.element.dtype_name,
        "shape": f"{shape}, {order}",
        "range": f"{least:.6g} to {greatest:.6g}",
    }
    if isinstance(grid, UniformGrid):
        facts |= {
            "dtype": f"{grid.element.dtype_name}, codes {grid.minimum}..{grid.maximum}",
            "scale": ", ".join(
                shortest(float(scale)) for scale in grid.scale.array.reshape(-1)
            ),
            "zero point": str(grid.zero_point),
            "rule": f"{rule}, rounding {grid.rounding.value}",
        }
    else:
        facts |= {key: str(value) for key, value in grid.document().items() if key != "dtype"}
    if isinstance(grid, LogGrid):
        layout = grid.layout
        facts["rule"] = (
            f"code k below {layout.magnitudes}: 2**((k + z) / {layout.steps}); code {layout.magnitudes}: 0; "
            f"code {layout.magnitudes} + k: -2**((k + z) / {layout.steps})"
        )
    return "\n".join(
        [f"  {tensor.name}", *(f"    {key:<12}{value}" for key, value in facts.items())]
    )
