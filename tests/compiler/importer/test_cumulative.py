"""CumSum in every direction, along every axis but the batch."""

from __future__ import annotations

import networks
import numpy as np
import pytest

from intlower.compiler.errors import UnsupportedOperator
from intlower.compiler.importer import import_model


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_it_sums_as_onnxruntime_does(axis: int, exclusive: int, reverse: int) -> None:
    b = networks.NetworkBuilder()
    place = b.constant(axis, np.int64)
    y = b.node("CumSum", "input", place, exclusive=exclusive, reverse=reverse)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"input": ["N", 3, 4, 5]}, y))


def test_sums_over_samples_are_refused() -> None:
    b = networks.NetworkBuilder()
    y = b.node("CumSum", "input", b.constant(0, np.int64))
    with pytest.raises(UnsupportedOperator, match="over the batch"):
        import_model(b.model({"input": ["N", 3, 4, 5]}, y))
