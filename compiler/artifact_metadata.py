"""What ONNX has no place for, as JSON in the artifact: grids, origin, host steps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from intlower.compiler.errors import ArtifactError
from intlower.compiler.fields import Fields, typed
from intlower.compiler.grids import Grid
from intlower.compiler.grids.documents import read_grid
from intlower.compiler.program import HostStep, IntegerProgram, Origin

METADATA_KEY = "intlower"
FORMAT = 3
# A program of ten thousand tensors has a tenth of this.
LONGEST_TEXT = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What the JSON says of a program.

    Attributes:
        target: name of the target.
        grids: of every tensor, by name.
        weight_grids: of every weighted instruction, by name.
        host: float steps after the last integers.
        origin: how the program was made.
        on_host: names of the instructions that the host runs.
    """

    target: str
    grids: Mapping[str, Grid]
    weight_grids: Mapping[str, Grid]
    host: tuple[HostStep, ...]
    origin: Origin
    on_host: frozenset[str]


def metadata_text(program: IntegerProgram) -> str:
    """Return the JSON text of a program, with sorted keys."""
    origin = program.origin
    document = {
        "format": FORMAT,
        "target": program.target,
        "inputs": {name: _interface(program, name) for name in program.inputs},
        "outputs": {name: _interface(program, name) for name in program.outputs},
        "source_sha256": origin.source_sha256,
        "pipeline": origin.pipeline,
        "calibration": origin.calibration,
        "seed": origin.seed,
        "recipe": origin.recipe,
        "steps": list(origin.steps),
        "verdicts": list(origin.verdicts),
        "ranges": {source: list(names) for source, names in origin.ranges.items()},
        "constants_sha256": _constants_digest(program),
        "tensors": {name: t.grid.document() for name, t in program.tensors.items()},
        "weights": {
            instruction.name: instruction.weight_grid.document()
            for instruction in program.instructions
            if instruction.weight_grid is not None
        },
        "on_host": [i.name for i in program.instructions if i.host],
        "host": [
            {
                "operator": step.operator,
                "input": step.input,
                "output": step.output,
                "axis": step.axis,
            }
            for step in program.host
        ],
    }
    return json.dumps(document, sort_keys=True, allow_nan=False)


def parse_metadata(text: str) -> Metadata:
    """Return what a JSON text says.

    Raises:
        ArtifactError: it is not JSON, of another format version, or of the wrong structure.
    """
    if len(text) > LONGEST_TEXT:
        raise ArtifactError(f"its metadata of {len(text)} characters is longer than is allowed")
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"its metadata is not JSON: {error}") from error
    fields = Fields(document, "metadata")
    if fields.integer("format") != FORMAT:
        raise ArtifactError(
            f"it has format version {fields.integer('format')}, and this intlower reads {FORMAT}",
            "compile the model again, or use the version of intlower that wrote the file",
        )
    return Metadata(
        target=fields.string("target"),
        grids=_grids(fields.value("tensors"), "tensors"),
        weight_grids=_grids(fields.value("weights"), "weights"),
        host=tuple(_host_step(step) for step in fields.list("host")),
        origin=_origin(fields),
        on_host=frozenset(fields.strings("on_host")),
    )


def _origin(fields: Fields) -> Origin:
    ranges = Fields(fields.value("ranges"), "ranges")
    return Origin(
        source_sha256=fields.string("source_sha256"),
        pipeline=fields.string("pipeline"),
        calibration=fields.string("calibration"),
        seed=fields.integer("seed"),
        recipe=fields.string("recipe"),
        steps=fields.strings("steps"),
        verdicts=fields.strings("verdicts"),
        ranges={source: ranges.strings(source) for source in ranges.document},
    )


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def _constants_digest(program: IntegerProgram) -> str:
    """Return the SHA-256 of every constant's bytes, in order: a damaged weight must not pass for another network."""
    digest = hashlib.sha256()
    for instruction in program.instructions:
        for constant in instruction.constants.values():
            array = constant.array
            digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def _interface(program: IntegerProgram, name: str) -> dict[str, Any]:
    """What a user of the file needs to quantize an input or dequantize an output."""
    grid = program.tensors[name].grid
    return {"dtype": grid.element.dtype_name, **grid.numbers()}


def _grids(document: Any, where: str) -> dict[str, Grid]:
    objects = typed(document, dict, where)
    return {name: read_grid(value, f"{where}: {name}") for name, value in objects.items()}


def _host_step(document: Any) -> HostStep:
    fields = Fields(document, "host")
    return HostStep(
        operator=fields.string("operator"),
        input=fields.string("input"),
        output=fields.string("output"),
        axis=fields.integer("axis"),
    )
