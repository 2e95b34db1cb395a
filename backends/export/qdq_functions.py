"""Which function of one number a table of codes is: what a file of float operators says in its place.

A program holds the table alone. The function is one of ONNX's where its nearest codes are the table, every entry; else the
table itself is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.export.qdq_graph import QdqGraph
from intlower.compiler.grids import UniformGrid
from intlower.compiler.grids.uniform import round_real
from intlower.compiler.operators import Elementwise, Function

Reals = NDArray[np.float64]

# Those that one node or a few of opset 17 compute, with the parameters that exporters write.
_CANDIDATES = (
    Elementwise(function=Function.SIGMOID),
    Elementwise(function=Function.TANH),
    Elementwise(function=Function.HARD_SWISH),
    Elementwise(function=Function.HARD_SIGMOID, alpha=1 / 6, beta=0.5),
    Elementwise(function=Function.HARD_SIGMOID, alpha=0.2, beta=0.5),
    Elementwise(function=Function.SILU, alpha=1.0),
    Elementwise(function=Function.GELU),
    Elementwise(function=Function.MISH),
    Elementwise(function=Function.ELU, alpha=1.0),
    Elementwise(function=Function.SOFTPLUS),
    Elementwise(function=Function.EXP),
    Elementwise(function=Function.SQRT),
    Elementwise(function=Function.LOG),
    Elementwise(function=Function.RECIPROCAL),
    Elementwise(function=Function.ABS),
    Elementwise(function=Function.NEG),
)


@dataclass(frozen=True, slots=True)
class Slope:
    """x times `below` where it is negative, times `above` where it is not."""

    below: float
    above: float


def recognized(
    table: NDArray[Any], source: UniformGrid, target: UniformGrid
) -> tuple[Elementwise | Slope, bool] | None:
    """Return the function whose nearest codes a table is, and whether it ends before the grid does; None for none known.

    Args:
        table: one code of the output for each code that the input's type stores, the least first.
        source: the input's grid.
        target: the output's grid.
    """
    least, greatest = source.element.limits
    x = (np.arange(least, greatest + 1.0) - source.zero_point) * float(source.scale.array)
    # The limits of an activation are the table's own ends.
    ends = int(table.min()), int(table.max())
    if ends[0] == ends[1]:
        return None
    slopes = [_slope(x, table, target, limits) for limits in (target.limits, ends)]
    candidates: list[Elementwise | Slope] = [slope for slope in slopes if slope is not None]
    for candidate in [*candidates, *_CANDIDATES]:
        values = _values(candidate, x)
        for limits in (target.limits, ends):
            if np.array_equal(_codes(target, values, limits), table):
                return candidate, limits != target.limits
    return None


def _values(function: Elementwise | Slope, x: Reals) -> Reals:
    """Return a function's reals, in float64: what the table was made from."""
    if isinstance(function, Slope):
        return np.where(x < 0, x * function.below, x * function.above)
    import torch

    from intlower.compiler.evaluate.elementwise import apply_function

    return np.asarray(apply_function(function, torch.from_numpy(x)).numpy())


def _codes(grid: UniformGrid, values: Reals, ends: tuple[int, int]) -> NDArray[Any]:
    span = grid.maximum - grid.minimum + 1
    with np.errstate(over="ignore"):
        quotient = np.nan_to_num(values / float(grid.scale.array), nan=0.0)
    rounded = round_real(np.clip(quotient, -2 * span, 2 * span), grid.rounding)
    return np.clip(rounded + grid.zero_point, *ends)


def _slope(
    x: Reals, table: NDArray[Any], grid: UniformGrid, ends: tuple[int, int]
) -> Slope | None:
    """Return the slopes on both sides of 0 that every entry between the ends allows, each with the fewest digits.

    A side without such entries has the other's slope: a clamp, as that of Relu6, is no slope.
    """
    steps = (table.astype(np.float64) - grid.zero_point) * float(grid.scale.array)
    half = float(grid.scale.array) / 2
    inside = (table > ends[0]) & (table < ends[1])
    found: list[float] = []
    for chosen in (inside & (x < 0), inside & (x > 0)):
        if chosen.any():
            bounds = np.stack([steps[chosen] - half, steps[chosen] + half]) / x[chosen]
            found.append(
                _shortest(float(bounds.min(axis=0).max()), float(bounds.max(axis=0).min()))
            )
        else:
            found.append(float("nan"))
    below, above = (own if own == own else other for own, other in (found, found[::-1]))
    return Slope(below, above) if np.isfinite([below, above]).all() else None


def _shortest(low: float, high: float) -> float:
    """Return the number of an interval with the fewest decimals; infinity where the interval is empty.

    >>> _shortest(0.0987, 0.1012), _shortest(-1.01, -0.99), _shortest(1.0, 0.0)
    (0.1, -1.0, inf)
    """
    middle = (low + high) / 2
    rounded = (round(middle, digits) for digits in range(9))
    return next((x for x in rounded if low <= x <= high), middle if low <= high else np.inf)


def write_function(
    graph: QdqGraph, function: Elementwise | Slope, x: str, result: str, name: str
) -> None:
    """Write a function that `recognized` returned, as nodes of opset 17.

    Args:
        graph: to add to.
        function: which.
        x: the value it is of.
        result: name of the value it makes.
        name: of the node that makes it.
    """
    if isinstance(function, Slope):
        _write_slope(graph, function, x, result, name)
        return

    def constant(value: float) -> str:
        return graph.constant(f"{name}/constant", np.array(value, np.float32))

    def step(operator: str, *inputs: str) -> str:
        made = graph.fresh(f"{name}/{operator.lower()}")
        graph.add(operator, list(inputs), made)
        return made

    match function.function:
        case Function.SILU:
            graph.add("Mul", [x, step("Sigmoid", x)], result, name=name)
        case Function.MISH:
            graph.add("Mul", [x, step("Tanh", step("Softplus", x))], result, name=name)
        case Function.GELU:
            error = step("Erf", step("Div", x, constant(2**0.5)))
            half = step("Mul", x, constant(0.5))
            graph.add("Mul", [half, step("Add", error, constant(1.0))], result, name=name)
        case Function.HARD_SIGMOID:
            graph.add(
                "HardSigmoid", [x], result, name=name, alpha=function.alpha, beta=function.beta
            )
        case Function.ELU:
            graph.add("Elu", [x], result, name=name, alpha=function.alpha)
        case plain:
            graph.add(plain.value, [x], result, name=name)


def _write_slope(graph: QdqGraph, slope: Slope, x: str, result: str, name: str) -> None:
    if slope.below == slope.above == 1:
        graph.add("Identity", [x], result, name=name)
    elif slope.below == slope.above:
        factor = graph.constant(f"{name}/constant", np.array(slope.above, np.float32))
        graph.add("Mul", [x, factor], result, name=name)
    elif slope.above == 1:
        graph.add("LeakyRelu", [x], result, name=name, alpha=slope.below)
    else:
        factor = graph.constant(f"{name}/constant", np.array(slope.above, np.float32))
        scaled = graph.fresh(f"{name}/scaled")
        graph.add("Mul", [x, factor], scaled)
        graph.add("LeakyRelu", [scaled], result, name=name, alpha=slope.below / slope.above)
