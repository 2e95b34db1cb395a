from __future__ import annotations

import numpy as np
import pytest
import torch
from networks_with_statistics import SAME, NetworkWithStatistics, pictures

from intlower.compiler.errors import CalibrationError
from intlower.compiler.graph import Graph
from intlower.compiler.operators import Conv, Elementwise, Function, Relu
from intlower.compiler.synthesis import synthesize
from intlower.compiler.synthesis.gradients import input_gradients, of_unit_length


def behind(function: Function, scale: float = 10.0) -> Graph:
    """Return a network whose layers with statistics all lie behind a function."""
    network = NetworkWithStatistics((None, 3, 8, 8))
    first = network.add(Elementwise(function=function), "x")
    second = network.add(Conv(pads=SAME), first, (6, 3, 3, 3), Relu())
    network.add(Conv(), second, (4, 6, 1, 1))
    return network.graph(scale * pictures(32, 3, 8, 8))


@pytest.mark.parametrize(
    "function", [Function.CEIL, Function.FLOOR, Function.ROUND, Function.SIGN]
)
def test_an_operator_without_derivative_is_named_in_one_line(function: Function) -> None:
    with pytest.raises(
        CalibrationError, match=f"no derivative reaches them through {function.value}"
    ):
        synthesize(behind(function), count=4, seed=0)


@pytest.mark.parametrize("function", [Function.SQRT, Function.RECIPROCAL, Function.LOG])
def test_where_a_derivative_is_not_finite_inputs_stay_finite_or_it_is_said(
    function: Function,
) -> None:
    graph = behind(function)
    ranges = {"x": (0.0, 10.0)}
    try:
        images = synthesize(graph, count=4, seed=0, input_ranges=ranges).samples["x"]
    except CalibrationError as error:
        assert "not finite" in str(error)  # noqa: PT017
    else:
        assert np.isfinite(images).all()


def test_what_is_not_finite_counts_as_nothing() -> None:
    x = torch.tensor([0.0, 4.0]).requires_grad_()
    (slope,) = input_gradients(x.sqrt().sum(), [x])
    assert slope.tolist() == [0.0, 0.25]
    (slope,) = input_gradients(torch.ones(()), [x])
    assert slope.tolist() == [0.0, 0.0]


def test_every_input_of_a_batch_has_an_equal_say() -> None:
    slopes = torch.tensor([[3.0, 4.0], [0.0, 1e-3], [0.0, 0.0]])
    assert torch.allclose(
        of_unit_length(slopes), torch.tensor([[0.6, 0.8], [0.0, 1.0], [0.0, 0.0]])
    )
