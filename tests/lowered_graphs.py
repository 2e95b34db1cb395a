"""Small graphs lowered to integer programs, and how far these are from the float graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering import lower_uniform
from intlower.backends.snpe import TARGET as SNPE_FAMILY
from intlower.backends.tensorrt import TARGET as TENSORRT
from intlower.compiler.calibration import Range, calibrate
from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph
from intlower.compiler.program import Instruction, IntegerProgram, Origin
from intlower.compiler.recipe import Recipe, WeightRounding
from intlower.compiler.simulator import quantize_inputs, run_reference
from intlower.compiler.spec import TargetSpec

SNPE = SNPE_FAMILY.member("")

SPECS = (TENSORRT.spec, SNPE.spec)
ORIGIN = Origin(source_sha256="0" * 64, pipeline="()", calibration="none", seed=0)
NEAREST = Recipe(name="none", passes=(), rounding=WeightRounding.NEAREST, correct_bias=False)


def lower(
    graph: Graph,
    spec: TargetSpec,
    ranges: Mapping[str, tuple[float, float]],
    recipe: Recipe = NEAREST,
) -> IntegerProgram:
    """Return the program of a graph with ranges (least, greatest) of all its values."""
    named = {name: Range(low, high, "test") for name, (low, high) in ranges.items()}
    return lower_uniform(graph, named, spec, recipe, ORIGIN)


def lower_with_samples(
    graph: Graph,
    spec: TargetSpec,
    samples: Mapping[str, NDArray[np.float32]],
    recipe: Recipe = NEAREST,
) -> IntegerProgram:
    """Return the program of a graph whose ranges are those of samples."""
    return lower_uniform(graph, calibrate(graph, samples=samples).ranges, spec, recipe, ORIGIN)


def instruction(program: IntegerProgram, name: str) -> Instruction:
    """Return an instruction by its name."""
    return next(found for found in program.instructions if found.name == name)


def run(program: IntegerProgram, samples: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the codes of every tensor, by the oracle."""
    return run_reference(program, quantize_inputs(program, samples), keep_all=True)


def steps_from_float(
    program: IntegerProgram, graph: Graph, samples: Mapping[str, NDArray[Any]], name: str
) -> NDArray[np.float64]:
    """Return by how many steps of its grid each element of a tensor differs from the graph's value.

    The graph runs on the samples as the program's inputs hold them, rounded to codes.
    """
    codes = quantize_inputs(program, samples)
    rounded = {key: program.tensors[key].grid.dequantize(codes[key]) for key in program.inputs}
    expected = evaluate(graph, rounded, keep=[name])[name].astype(np.float64)
    grid = program.tensors[name].grid
    low, high = grid.real_limits
    actual = grid.dequantize(run_reference(program, codes, keep_all=True)[name])
    scale = float(grid.scale.array)
    return np.asarray(np.abs(actual - np.clip(expected, low, high)) / scale)
