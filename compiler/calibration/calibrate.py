"""Which source of ranges a graph gets."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.calibration.from_moments import ASSUMED, SOURCE, ranges_from_moments
from intlower.compiler.calibration.from_samples import ranges_from_samples
from intlower.compiler.calibration.from_synthetic import ranges_with_synthetic
from intlower.compiler.calibration.input_model import estimate_input
from intlower.compiler.calibration.methods.form import GridForm
from intlower.compiler.calibration.methods.select import Method
from intlower.compiler.calibration.ranges import Range, Ranges
from intlower.compiler.errors import CalibrationError, CalibrationWarning
from intlower.compiler.graph import Graph, Value

# How many noise inputs stand in for samples where nothing else is known.
NOISE_SAMPLES = 32
# Elements of all values of all noise together: a network of more gets fewer samples.
NOISE_ELEMENTS = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What moments rest on that the file does not hold.

    Attributes:
        ranges: of graph inputs.
        summary: in words.
    """

    ranges: Mapping[str, Range]
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The ranges of a graph and how they came about.

    Attributes:
        ranges: of every value.
        summary: in words, recorded in the program.
    """

    ranges: Ranges
    summary: str


def calibrate(
    graph: Graph,
    *,
    samples: Mapping[str, NDArray[Any]] | None = None,
    synthetic: Mapping[str, NDArray[Any]] | None = None,
    method: Method = Method.MIN_MAX,
    form: GridForm | None = None,
    input_ranges: Mapping[str, tuple[float, float]] | None = None,
    assumed: Assumed | None = None,
    seed: int = 0,
    noise: bool = True,
    progress: Callable[[str], None] | None = None,
) -> Calibration:
    """Return a range for every value of a graph.

    1. Samples, where given, decide every range.
    2. Otherwise the moments that batch norm left do, as mean +- 5 std, or by the method's rule for what is distributed so; the
       inputs' ranges are those given, or what the first layer tells.
    3. Synthetic inputs, where given, are held together with 2 and reach every value.
    4. Else values that moments do not reach take their ranges from seeded noise, with a CalibrationWarning.

    Ranges of inputs that the caller gives are kept in every case.

    Args:
        graph: batch norm folded, moments recorded.
        samples: for each graph input, [N, ...] float32, as the model takes it.
        synthetic: the same, made from the network; not used where there are samples.
        method: how ranges are taken from numbers.
        form: of the target's grid, which some methods ask; None for 8 bits, symmetric.
        input_ranges: (least, greatest) of graph inputs, by name.
        assumed: where the moments are none of the file's; inputs then have its ranges, unless they are given.
        seed: of the noise.
        noise: whether 4 is allowed.
        progress: called with a line now and then.

    Raises:
        CalibrationError: a range is not finite, or names no input; or 4 is needed and not allowed.
        DataError: samples do not fit the inputs.
    """
    given = _given_ranges(graph, input_ranges or {})
    if samples is not None:  # 1
        ranges = ranges_from_samples(
            graph, samples, method, f"samples ({method.value})", progress, form
        )
        count = len(next(iter(samples.values())))
        summary = f"{count} samples, {method.value}"
        return _calibration(graph, ranges | given, summary)
    inputs = {
        value.name: given.get(value.name)
        or (_estimated(graph, value) if assumed is None else assumed.ranges.get(value.name))
        for value in graph.inputs
    }
    known = {name: found for name, found in inputs.items() if found is not None}
    modelled = method if synthetic is None else Method.MIN_MAX
    ranges = ranges_from_moments(graph, known, modelled, form)  # 2
    moments = "batch-norm moments" if assumed is None else f"moments of {assumed.summary}"
    if assumed is not None:
        ranges = {
            name: replace(found, source=ASSUMED) if found.source == SOURCE else found
            for name, found in ranges.items()
        }
    if synthetic is not None:  # 3
        ranges = ranges_with_synthetic(graph, synthetic, ranges, method, progress, form)
        count = len(next(iter(synthetic.values())))
        summary = f"{moments} and {count} synthetic inputs, {method.value}"
        return _calibration(graph, ranges, summary)
    moments += "" if method is Method.MIN_MAX else f" ({method.value})"
    missing = [name for name in graph.values if name not in ranges]
    if not missing:
        told = {} if assumed is None else assumed.ranges  # in `moments` already
        described = ", ".join(
            f"{name}: {found.source}"
            for name, found in known.items()
            if found != told.get(name)
        )
        return _calibration(graph, ranges, "; ".join(filter(None, (moments, described))))
    unknown = (
        f"{len(missing)} of {len(graph.values)} values have no batch-norm statistics (first: "
        f"{missing[0]!r})"
    )
    hint = (
        "give a few representative inputs with --samples, or export the model with batch "
        "normalization kept (torch: training=TrainingMode.PRESERVE)"
    )
    if not noise:
        raise CalibrationError(unknown, hint)
    warnings.warn(  # 4
        CalibrationWarning(
            f"{unknown}; their ranges come from random noise and are likely wrong", hint
        ),
        stacklevel=2,
    )
    elements = sum(math.prod(d or 1 for d in value.shape) for value in graph.values.values())
    count = max(1, min(NOISE_SAMPLES, NOISE_ELEMENTS // elements))
    random = noise_inputs(graph, known, count, seed)
    seen = ranges_from_samples(graph, random, Method.MIN_MAX, "random noise", progress)
    summary = f"{moments}, and random noise for {len(missing)} values"
    return _calibration(graph, {**seen, **ranges}, summary)


def noise_inputs(
    graph: Graph, inputs: Mapping[str, Range], count: int, seed: int
) -> dict[str, NDArray[np.float32]]:
    """Return seeded noise for every graph input: uniform over a known range, else standard normal.

    Args:
        graph: whose inputs to make.
        inputs: the known ranges.
        count: samples, where the batch is free; else one batch.
        seed: of the generator.
    """
    generator = np.random.default_rng(seed)
    arrays: dict[str, NDArray[np.float32]] = {}
    for value in graph.inputs:
        shape = (value.shape[0] or count, *(d for d in value.shape[1:] if d is not None))
        found = inputs.get(value.name)
        array = (
            generator.standard_normal(shape)
            if found is None
            else generator.uniform(found.minimum, found.maximum, shape)
        )
        arrays[value.name] = array.astype(np.float32)
    return arrays


def _given_ranges(graph: Graph, given: Mapping[str, tuple[float, float]]) -> dict[str, Range]:
    names = [value.name for value in graph.inputs]
    for name, (low, high) in given.items():
        if name not in names:
            raise CalibrationError(
                f"a range is given for {name!r}, which is no input of the model",
                f"the inputs are {', '.join(names)}",
            )
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise CalibrationError(
                f"the range {low}:{high} of input {name!r} is not finite and ordered",
                "write the least value, a colon, the greatest",
            )
    return {name: Range(low, high, "given") for name, (low, high) in given.items()}


def _estimated(graph: Graph, value: Value) -> Range | None:
    estimate = estimate_input(graph, value.name)
    return None if estimate is None else estimate.range


def _calibration(graph: Graph, ranges: Mapping[str, Range], summary: str) -> Calibration:
    ordered = {name: ranges[name] for name in graph.values}
    return Calibration(ranges=MappingProxyType(ordered), summary=summary)
