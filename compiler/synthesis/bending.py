"""Inputs bent until a classifier sees a class in each: what its logits tell where no statistics are left."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional

from intlower.compiler.evaluate.run import constant_tensors, forward
from intlower.compiler.graph import Graph

Tensors = Mapping[str, torch.Tensor]

# Steps at most, and the size of each: its deviation, as a share of the input's span.
STEPS, SIZE = 6, 0.02

# An input rests once its class has this probability: trained networks are as sure of what they were trained on.
GOAL = 0.9


def bent(
    graph: Graph, inputs: Tensors, labels: torch.Tensor, low: Tensors, high: Tensors
) -> dict[str, torch.Tensor]:
    """Return inputs moved towards classes, within their box.

    Each step follows the gradient of the cross-entropy, over height and width with a spectrum that falls as 1/f as that of
    photographs does: few coarse steps suffice. Class by class every input rests at a probability of GOAL.

    Source of the aim: Haroush et al. 2020, The Knowledge Within (the "Inception" scheme), and Yin et al. 2020,
    DeepInversion; steps and filter are ours.

    Args:
        graph: gives the scores of classes as its only output, with a free batch.
        inputs: of the graph, float32 [N, ...].
        labels: int64 [N].
        low: the least number of each input, broadcast over it.
        high: the greatest.
    """
    parameters = constant_tensors(graph, torch.float32)
    current = dict(inputs)
    for step in range(STEPS + 1):
        leaves = {name: x.detach().requires_grad_(step < STEPS) for name, x in current.items()}
        with torch.set_grad_enabled(step < STEPS):
            (scores,) = forward(graph, leaves, None, parameters).values()
        scores = scores.flatten(1)
        waiting = scores.detach().softmax(1).gather(1, labels[:, None])[:, 0] < GOAL
        if step == STEPS or not bool(waiting.any()):
            break
        loss = functional.cross_entropy(scores, labels, reduction="sum")
        gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        for (name, x), gradient in zip(leaves.items(), gradients, strict=True):
            if gradient is None or not bool(torch.isfinite(gradient).all()):
                continue
            moved = x.detach() - SIZE * (high[name] - low[name]) * _direction(gradient)
            limited = torch.minimum(torch.maximum(moved, low[name]), high[name])
            still = waiting.reshape(-1, *(1,) * (x.dim() - 1))
            current[name] = torch.where(still, limited, x.detach())
    return current


def _direction(gradient: torch.Tensor) -> torch.Tensor:
    """Return a gradient of deviation 1 for each input, smoothed where it has height and width."""
    if gradient.dim() == 4:
        height, width = gradient.shape[2:]
        frequency = torch.hypot(
            torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None, :]
        ).clamp_min(1.0 / max(height, width))
        gradient = torch.fft.irfft2(torch.fft.rfft2(gradient) / frequency, s=(height, width))
    size = gradient.flatten(1).std(1, correction=0).clamp_min(1e-20)
    return gradient / size.reshape(-1, *(1,) * (gradient.dim() - 1))
