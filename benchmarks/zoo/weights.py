"""Seeded weights and statistics for networks that come without: as a trained network's, they fit each other."""

from __future__ import annotations

import io
import warnings

import onnx
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmarks.zoo.model import images

_STATISTICS_BATCH = 8


def settle(module: nn.Module, shape: tuple[int, ...], seed: int = 0) -> nn.Module:
    """Return a network in evaluation mode: batch norms get random scales and shifts, and the statistics of smooth noise.

    Statistics that are drawn at random as well would contradict the weights: what reaches a layer would be far from what
    its norm expects, deeper and deeper, as in no trained network.

    Args:
        module: a network with the random weights of its constructor; changed in place.
        shape: of one input.
        seed: of the scales, the shifts and the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    module.eval()
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.train()
            layer.momentum = None  # statistics of all batches, equally weighted
            layer.reset_running_stats()
            if layer.affine:
                with torch.no_grad():
                    layer.weight.uniform_(0.5, 1.5, generator=generator)
                    layer.bias.normal_(0.0, 0.3, generator=generator)
    with torch.no_grad():
        module(torch.from_numpy(images(shape, _STATISTICS_BATCH, seed)))
    return module.eval()


def export(
    module: nn.Module, shape: tuple[int, ...], *, opset: int = 17, dynamo: bool = False
) -> onnx.ModelProto:
    """Return a network as ONNX with a free batch, normalization kept where the exporter can.

    Args:
        module: in evaluation mode.
        shape: of one input.
        opset: of the file.
        dynamo: which of torch's two exporters writes it.
    """
    # Two samples: dynamo takes a batch of one for a constant.
    image = torch.from_numpy(images(shape, 2, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old exporter is deprecated; both warn of tracing
        if dynamo:
            program = torch.onnx.export(
                module,
                (image,),
                dynamo=True,
                opset_version=opset,
                input_names=["x"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
            )
            assert program is not None
            return program.model_proto
        file = io.BytesIO()
        torch.onnx.export(
            module,
            (image,),
            file,
            dynamo=False,
            opset_version=opset,
            input_names=["x"],
            dynamic_axes={"x": {0: "batch"}},
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
        )
    return onnx.load_from_string(file.getvalue())


def last_pool_made_global(network: nn.Module) -> nn.Module:
    """Return a classifier whose last pool, laid out for 224 pixels, takes images of any size; changed in place."""
    for module in network.modules():
        if isinstance(getattr(module, "final_pool", None), nn.AvgPool2d):
            module.final_pool = nn.AdaptiveAvgPool2d(1)
    return network
