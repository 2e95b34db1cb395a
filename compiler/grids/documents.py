"""From JSON to a grid: the inverse of `Grid.document`, for what a stranger wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from intlower.compiler.errors import ArtifactError
from intlower.compiler.fields import Fields
from intlower.compiler.grids.base import Grid
from intlower.compiler.grids.channels import ChannelGrid
from intlower.compiler.grids.half import HalfGrid
from intlower.compiler.grids.logarithmic import LogGrid
from intlower.compiler.grids.minifloat import MinifloatGrid
from intlower.compiler.grids.uniform import UniformGrid
from intlower.kernels.half_rule import Subnormals
from intlower.kernels.minifloat_rule import MinifloatRule
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import ElementType

_ELEMENTS = {element.dtype_name: element for element in ElementType}


def read_grid(document: Any, where: str) -> Grid:
    """Return the grid that a JSON object describes.

    Args:
        document: what `json.loads` gave.
        where: what to call it in messages.

    Raises:
        ArtifactError: it describes none.
    """
    fields = Fields(document, where)
    kind = fields.string("kind")
    if kind not in _READERS:
        raise ArtifactError(f"{where}: no grid is of the kind {kind!r}")
    return _READERS[kind](fields)


def _element(fields: Fields) -> ElementType:
    dtype = fields.string("dtype")
    if dtype not in _ELEMENTS:
        raise ArtifactError(f"{fields.where}: {dtype!r} is not a type of codes")
    return _ELEMENTS[dtype]


def _uniform(fields: Fields) -> UniformGrid:
    axis = fields.value("axis")
    return UniformGrid(
        scale=fields.scale("scale"),
        zero_point=fields.integer("zero_point"),
        element=_element(fields),
        minimum=fields.integer("minimum"),
        maximum=fields.integer("maximum"),
        rounding=Rounding(fields.string("rounding")),
        axis=None if axis is None else fields.integer("axis"),
    )


def _by_channel(fields: Fields) -> ChannelGrid:
    scale, zero_points = fields.value("scale"), fields.value("zero_points")
    if not (isinstance(scale, list) and isinstance(zero_points, list)) or len(scale) != len(
        zero_points
    ):
        raise ArtifactError(f"{fields.where}: a scale and a zero point belong to each channel")
    common = {name: fields.value(name) for name in ("dtype", "minimum", "maximum", "rounding")}
    documents = (
        {**common, "scale": step, "zero_point": zero_point, "axis": None}
        for step, zero_point in zip(scale, zero_points, strict=True)
    )
    return ChannelGrid(
        channels=tuple(_uniform(Fields(document, fields.where)) for document in documents)
    )


def _logarithmic(fields: Fields) -> LogGrid:
    return LogGrid(bits=fields.integer("bits"), z=fields.integer("z"))


def _half(fields: Fields) -> HalfGrid:
    if _element(fields) is not ElementType.FLOAT16:
        raise ArtifactError(f"{fields.where}: a half-precision grid has float16 codes")
    names = {member.name.lower(): member for member in Subnormals}
    subnormals = fields.string("subnormals")
    if subnormals not in names:
        raise ArtifactError(f"{fields.where}: {subnormals!r} says nothing of subnormals")
    return HalfGrid(subnormals=names[subnormals], saturate=fields.boolean("saturate"))


def _minifloat(fields: Fields) -> MinifloatGrid:
    layout = fields.string("layout")
    try:
        rule = MinifloatRule.parse(layout)
    except ValueError as error:
        raise ArtifactError(f"{fields.where}: {error}") from error
    return MinifloatGrid(rule=rule, exponent_bias=fields.integer("exponent_bias"))


_READERS: dict[str, Callable[[Fields], Grid]] = {
    UniformGrid.kind: _uniform,
    ChannelGrid.kind: _by_channel,
    LogGrid.kind: _logarithmic,
    HalfGrid.kind: _half,
    MinifloatGrid.kind: _minifloat,
}
