"""What ONNX has no place for, as JSON in the artifact: grids, origin, host steps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import numpy as np

from intlower.compiler.constant import Constant
from intlower.compiler.errors import ArtifactError
from intlower.compiler.grids import UniformGrid
from intlower.compiler.program import HostStep, IntegerProgram, Origin
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import ElementType

T = TypeVar("T")

METADATA_KEY = "intlower"
FORMAT = 1
# A program of ten thousand tensors has a tenth of this.
LONGEST_TEXT = 1 << 26

_ELEMENTS = {element.dtype_name: element for element in ElementType}
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What the JSON says of a program.

    Attributes:
        target: name of the target.
        grids: of every tensor, by name.
        weight_grids: of every weighted instruction, by name.
        host: float steps after the last integers.
        origin: how the program was made.
    """

    target: str
    grids: Mapping[str, UniformGrid]
    weight_grids: Mapping[str, UniformGrid]
    host: tuple[HostStep, ...]
    origin: Origin


def metadata_text(program: IntegerProgram) -> str:
    """Return the JSON text of a program, with sorted keys.

    A scale is the shortest decimal of its double, which gives the same float32 again.
    """
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
        "constants_sha256": _constants_digest(program),
        "tensors": {name: _grid_document(t.grid) for name, t in program.tensors.items()},
        "weights": {
            instruction.name: _grid_document(instruction.weight_grid)
            for instruction in program.instructions
            if instruction.weight_grid is not None
        },
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
    fields = _Fields(document, "metadata")
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
        origin=Origin(
            source_sha256=fields.string("source_sha256"),
            pipeline=fields.string("pipeline"),
            calibration=fields.string("calibration"),
            seed=fields.integer("seed"),
        ),
    )


class _Fields:
    """A JSON object whose fields are taken by type."""

    def __init__(self, document: Any, where: str) -> None:
        if not isinstance(document, dict):
            raise ArtifactError(f"{where} is not a JSON object")
        self.document = document
        self.where = where

    def value(self, key: str) -> Any:
        if key not in self.document:
            raise ArtifactError(f"{self.where} has no field {key!r}")
        return self.document[key]

    def string(self, key: str) -> str:
        return _typed(self.value(key), str, f"{self.where}: {key}")

    def integer(self, key: str) -> int:
        return _typed(self.value(key), int, f"{self.where}: {key}")

    def list(self, key: str) -> list[Any]:
        return _typed(self.value(key), list, f"{self.where}: {key}")


def _typed(value: Any, kind: type[T], where: str) -> T:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ArtifactError(f"{where} is {type(value).__name__}, not {kind.__name__}")
    return value


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
    grid = _grid_document(program.tensors[name].grid)
    return {key: grid[key] for key in ("dtype", "scale", "zero_point")}


def _grid_document(grid: UniformGrid) -> dict[str, Any]:
    return {
        "dtype": grid.element.dtype_name,
        "scale": grid.scale.array.tolist(),
        "zero_point": grid.zero_point,
        "minimum": grid.minimum,
        "maximum": grid.maximum,
        "rounding": grid.rounding.value,
        "axis": grid.axis,
    }


def _grids(document: Any, where: str) -> dict[str, UniformGrid]:
    objects = _typed(document, dict, where)
    return {name: _grid(_Fields(value, f"{where}: {name}")) for name, value in objects.items()}


def _grid(fields: _Fields) -> UniformGrid:
    dtype = fields.string("dtype")
    if dtype not in _ELEMENTS:
        raise ArtifactError(f"{fields.where}: {dtype!r} is not an integer type of codes")
    axis = fields.value("axis")
    return UniformGrid(
        scale=_scale(fields.value("scale"), fields.where),
        zero_point=fields.integer("zero_point"),
        element=_ELEMENTS[dtype],
        minimum=fields.integer("minimum"),
        maximum=fields.integer("maximum"),
        rounding=Rounding(fields.string("rounding")),
        axis=None if axis is None else fields.integer("axis"),
    )


def _scale(value: Any, where: str) -> Constant:
    numbers = value if isinstance(value, list) else [value]
    for number in numbers:
        if not 0 < _typed(number, float, f"{where}: scale") <= _LARGEST_FLOAT32:
            raise ArtifactError(f"{where}: a scale of {number} is not a positive float32")
    return Constant.of(value, np.float32)


def _host_step(document: Any) -> HostStep:
    fields = _Fields(document, "host")
    return HostStep(
        operator=fields.string("operator"),
        input=fields.string("input"),
        output=fields.string("output"),
        axis=fields.integer("axis"),
    )
