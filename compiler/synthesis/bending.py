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
    photographs does: few coarse steps suffice. Class by class every input rests at a probability of GOAL, and costs nothing
    from then on.

    Source of the aim: Haroush et al. 2020, The Knowledge Within (the "Inception" scheme), and Yin et al. 2020,
    DeepInversion; steps and filter are ours.

    Args:
        graph: gives the scores of classes as its only output, with a free batch.
        inputs: of the graph, float32 [N, ...].
        labels: int64 [N].
        low: the least number of each input, broadcast over it.
        high: the greatest.
    """
    parameters = {
        name: _laid_out(tensor)
        for name, tensor in constant_tensors(graph, torch.float32).items()
    }
    current = {name: x.detach().clone() for name, x in inputs.items()}
    waiting = torch.arange(len(labels))
    for _ in range(STEPS):
        leaves = {
            name: _laid_out(x[waiting]).requires_grad_(True) for name, x in current.items()
        }
        (scores,) = forward(graph, leaves, None, parameters).values()
        scores, wanted = scores.flatten(1), labels[waiting]
        moves = scores.detach().softmax(1).gather(1, wanted[:, None])[:, 0] < GOAL
        if not bool(moves.any()):
            break
        loss = functional.cross_entropy(scores[moves], wanted[moves], reduction="sum")
        gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        waiting = waiting[moves]
        for (name, x), gradient in zip(leaves.items(), gradients, strict=True):
            if gradient is None or not bool(torch.isfinite(gradient).all()):
                continue
            ends = (
                end.expand(len(labels), *end.shape[1:])[waiting]
                for end in (low[name], high[name])
            )
            least, greatest = ends
            moved = x.detach()[moves] - SIZE * (greatest - least) * _direction(gradient[moves])
            current[name][waiting] = torch.minimum(torch.maximum(moved, least), greatest)
    return current


def _laid_out(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor with its channels next to each other where it has height and width: so convolutions run faster."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


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
