"""Resize and Upsample, of every opset."""

from __future__ import annotations

import enum
import math
from typing import TypeVar

import numpy as np

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.scope import Scope
from intlower.compiler.operators import (
    Coordinates,
    Identity,
    Interpolation,
    NearestRule,
    Resize,
    known,
    normalize_axis,
)

_Choice = TypeVar("_Choice", bound=enum.Enum)


def convert_upsample(node: OnnxNode, scope: Scope) -> None:
    """Convert Upsample: scales are an attribute before opset 9, then a constant input."""
    if node.opset < 9:
        given = _float_list(node, "scales")
    else:
        given = tuple(
            float(v) for v in scope.floats(node.input(1), "list of scales").reshape(-1)
        )
    _emit_old(node, scope, given)


def _float_list(node: OnnxNode, key: str) -> tuple[float, ...]:
    attribute = node.attributes.get(key)
    if attribute is None or not attribute.floats:
        raise InvalidGraph(f"{node.name}: it has no {key}")
    return tuple(attribute.floats)


def _emit_old(node: OnnxNode, scope: Scope, scales: tuple[float, ...]) -> None:
    """Emit a Resize as Upsample and opset 10 mean it: asymmetric, and nearest is the one before."""
    shape = scope.shape(node.input(0))
    _require_spatial(node, len(scales) == len(shape), scales[:2] == (1.0, 1.0))
    sizes = tuple(
        math.floor(np.float32(known(d)) * np.float32(scale))
        for d, scale in zip(shape[2:], scales[2:], strict=True)
    )
    operator = Resize(
        sizes=sizes,
        scales=scales[2:],
        interpolation=_choice(node, "mode", Interpolation, "nearest"),
        coordinates=Coordinates.ASYMMETRIC,
        nearest=NearestRule.FLOOR,
    )
    _emit(node, scope, operator)


def convert_resize(node: OnnxNode, scope: Scope) -> None:
    """Convert Resize to given scales or sizes."""
    if node.opset < 11:
        given = scope.floats(node.input(1), "list of scales").reshape(-1)
        _emit_old(node, scope, tuple(float(v) for v in given))
        return
    if node.integer("antialias", 0):
        raise NotSupported("it smooths before it shrinks (antialias)")
    shape = scope.shape(node.input(0))
    rank = len(shape)
    listed = node.integers("axes")
    axes = tuple(range(rank)) if listed is None else listed
    axes = tuple(normalize_axis(axis, rank) for axis in axes)
    coordinates = _choice(node, "coordinate_transformation_mode", Coordinates, "half_pixel")
    starts, ends = [0.0] * rank, [1.0] * rank
    if coordinates is Coordinates.TF_CROP_AND_RESIZE:
        region = scope.floats(node.input(1), "region").reshape(-1)
        _require_spatial(node, len(region) == 2 * len(axes), True)
        for position, axis in enumerate(axes):
            starts[axis] = float(region[position])
            ends[axis] = float(region[position + len(axes)])
    scales, sizes = _scales_and_sizes(node, scope, axes, starts, ends)
    operator = Resize(
        sizes=sizes,
        scales=scales,
        interpolation=_choice(node, "mode", Interpolation, "nearest"),
        coordinates=coordinates,
        nearest=_choice(node, "nearest_mode", NearestRule, "round_prefer_floor"),
        cubic_coefficient=node.number("cubic_coeff_a", -0.75),
        exclude_outside=bool(node.integer("exclude_outside", 0)),
        starts=tuple(starts[2:]) if coordinates is Coordinates.TF_CROP_AND_RESIZE else (),
        ends=tuple(ends[2:]) if coordinates is Coordinates.TF_CROP_AND_RESIZE else (),
        extrapolation=node.number("extrapolation_value", 0.0),
    )
    _emit(node, scope, operator)


def _scales_and_sizes(
    node: OnnxNode,
    scope: Scope,
    axes: tuple[int, ...],
    starts: list[float],
    ends: list[float],
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return scale and output size of each spatial axis; the other axes keep theirs."""
    shape = scope.shape(node.input(0))
    name = node.input(2)
    if name and scope.is_constant(name) and scope.raw_array(name).size:
        given = scope.floats(name, "list of scales").reshape(-1)
        _require_spatial(node, len(given) == len(axes), True)
        if any(end - start != 1 for start, end in zip(starts, ends, strict=True)):
            # ONNX multiplies scales with the region's size, onnxruntime does not.
            raise NotSupported("runtimes disagree about scales of a cropped region: give sizes")
        scales = dict(zip(axes, (float(v) for v in given), strict=True))
        sizes = {
            axis: math.floor(np.float32(known(shape[axis])) * np.float32(scale))
            for axis, scale in scales.items()
            if axis >= 2
        }
    else:
        wanted, scales = _wanted_sizes(node, scope, axes)
        sizes = {axis: size for axis, size in wanted.items() if axis >= 2}
    _require_spatial(node, True, all(scales.get(axis, 1.0) == 1.0 for axis in (0, 1)))
    spatial = range(2, len(shape))
    return (
        tuple(scales.get(axis, 1.0) for axis in spatial),
        tuple(sizes.get(axis, known(shape[axis])) for axis in spatial),
    )


def _wanted_sizes(
    node: OnnxNode, scope: Scope, axes: tuple[int, ...]
) -> tuple[dict[int, int], dict[int, float]]:
    """Return sizes and scales of the listed axes, from the input `sizes`."""
    shape = scope.shape(node.input(0))
    if not node.input(3):
        raise InvalidGraph(f"{node.name}: it has neither scales nor sizes")
    given = scope.integers(node.input(3), "list of sizes", batch_dependent=True)
    _require_spatial(node, len(given) == len(axes), True)
    wanted = dict(zip(axes, given, strict=True))
    if scope.is_batch_dependent(node.input(3)) and any(
        size == 0 and (axis or shape[0] is not None) for axis, size in wanted.items()
    ):
        raise NotSupported("its list of sizes depends on the free batch")
    if shape[0] is None and wanted.get(0, 0) != 0:
        raise NotSupported("it resizes the free batch")
    policy = node.text("keep_aspect_ratio_policy", "stretch")
    factors = {
        axis: np.float32(size) / np.float32(known(shape[axis]))
        for axis, size in wanted.items()
        if shape[axis] is not None
    }
    if policy != "stretch":
        # Halves go up. Source: ONNX Resize-18, "sizes[i] = round_int(scale * in_size[i])".
        factor = min(factors.values()) if policy == "not_larger" else max(factors.values())
        factors = dict.fromkeys(factors, factor)
        for axis in factors:
            wanted[axis] = math.floor(factor * np.float32(known(shape[axis])) + 0.5)
    return wanted, {axis: float(factors.get(axis, 1.0)) for axis in axes}


def _emit(node: OnnxNode, scope: Scope, operator: Resize) -> None:
    shape = scope.shape(node.input(0))
    same = operator.sizes == shape[2:] and set(operator.scales) == {1.0}
    if same and operator.coordinates is not Coordinates.TF_CROP_AND_RESIZE:
        scope.emit(node.name, Identity(), (node.input(0),), node.outputs[0])
        return
    scope.emit(node.name, operator, (node.input(0),), node.outputs[0])


def _require_spatial(node: OnnxNode, fits: bool, spatial: bool) -> None:
    if not fits:
        raise InvalidGraph(f"{node.name}: its scales, sizes or region do not fit its input")
    if not spatial:
        raise NotSupported("it resizes the batch or the channels")


def _choice(node: OnnxNode, key: str, choices: type[_Choice], default: str) -> _Choice:
    text = node.text(key, default)
    if key == "mode" and text == "bilinear":  # written by old exporters, for Upsample
        text = "linear"
    try:
        return choices(text)
    except ValueError:
        raise NotSupported(f"its {key} is {text!r}") from None
