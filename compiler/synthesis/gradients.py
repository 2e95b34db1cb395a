"""Derivatives with respect to a network's inputs, where there are any."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from intlower.compiler.errors import CalibrationError
from intlower.compiler.graph import Graph
from intlower.compiler.operators import Elementwise, Function

# Their derivative is 0 wherever there is one.
FLAT = (Function.CEIL, Function.FLOOR, Function.ROUND, Function.SIGN)


def input_gradients(
    total: torch.Tensor, inputs: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, ...]:
    """Return the derivative of a scalar with respect to each tensor: 0 where it does not depend on it, or is not finite.

    What is not finite (of a square root at 0, say) would make the inputs so; its neighbours move them on.

    Args:
        total: what to differentiate.
        inputs: tensors that require derivatives.
    """
    if not total.requires_grad:
        return tuple(torch.zeros_like(tensor) for tensor in inputs)
    found = torch.autograd.grad(total, list(inputs), materialize_grads=True)
    return tuple(torch.nan_to_num(slope, nan=0.0, posinf=0.0, neginf=0.0) for slope in found)


def of_unit_length(gradient: torch.Tensor) -> torch.Tensor:
    """Return a derivative scaled, for each input by itself, to length 1: every input of a batch has an equal say.

    Found on the networks of the tests: without it MobileNetV2 stays above the level of real images, with it it gets there in
    fewer steps.

    Args:
        gradient: float32 [N, ...].
    """
    length = torch.linalg.vector_norm(gradient.flatten(1), dim=1).clamp_min(1e-12)
    scaled: torch.Tensor = gradient / length.reshape(-1, *(1,) * (gradient.dim() - 1))
    return scaled


def check_start(matching: float, gradients: Sequence[torch.Tensor], graph: Graph) -> None:
    """Prove from the first step that a network can be asked for better inputs.

    Args:
        matching: its matching loss.
        gradients: its derivatives with respect to the inputs.
        graph: the network.

    Raises:
        CalibrationError: the loss is not finite, or no input can lower it.
    """
    if not matching < float("inf"):
        raise CalibrationError(
            "inputs cannot be synthesized: the network's values on noise are not finite",
            "give a few representative inputs, or the range of the inputs",
        )
    if matching > 0 and not any(bool(slope.any()) for slope in gradients):
        flat = sorted(
            {
                found.function.value
                for node in graph.nodes
                for found in (node.operator, node.activation)
                if isinstance(found, Elementwise) and found.function in FLAT
            }
        )
        blame = f" through {', '.join(flat)}" if flat else ""
        raise CalibrationError(
            f"inputs cannot be synthesized: no derivative reaches them{blame}",
            "give a few representative inputs",
        )
