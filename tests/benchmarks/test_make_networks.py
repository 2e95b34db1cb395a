"""The networks that are timed are those that they are named after."""

from __future__ import annotations

import math

import onnx
import pytest

from benchmarks.make_networks import NETWORKS

# Trainable parameters, as torchvision counts them.
PARAMETERS = {"resnet18": 11_689_512, "resnet50": 25_557_032, "mobilenet_v2": 3_504_872}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_the_parameters_of_its_namesake(name: str) -> None:
    model = NETWORKS[name]()
    onnx.checker.check_model(model, full_check=True)
    kept = ("weight", "scale", "shift", "classifier")
    assert PARAMETERS[name] == sum(
        math.prod(tensor.dims)
        for tensor in model.graph.initializer
        if tensor.name.startswith(kept)
    )


def test_the_same_network_is_made_twice() -> None:
    one, two = (NETWORKS["mobilenet_v2"]().graph.initializer for _ in range(2))
    assert [tensor.raw_data for tensor in one] == [tensor.raw_data for tensor in two]
