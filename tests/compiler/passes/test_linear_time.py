"""Every pass, on a long chain that it rewrites at each layer: a frozen graph proves itself whole, so a pass makes few of them."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
from graph_building import Step, graph_of

from intlower.backends.recipes import CONVOLUTION_PASSES
from intlower.compiler.graph import Graph, Moments
from intlower.compiler.operators import Add, Clip, Conv, PRelu
from intlower.compiler.passes.absorb_bias import AbsorbBias
from intlower.compiler.passes.base import Pass
from intlower.compiler.passes.center_channels import CenterChannels
from intlower.compiler.passes.center_padded import CenterPadded
from intlower.compiler.passes.center_ranges import CenterRanges
from intlower.compiler.passes.equalize import Equalize
from intlower.compiler.passes.fill_depthwise import FillDepthwise
from intlower.compiler.passes.fuse_activations import FuseActivations
from intlower.compiler.passes.silence_channels import SilenceChannels
from intlower.compiler.passes.standard import STANDARD_PASSES

LAYERS = 12
MOST_GRAPHS = 4
CHANNELS = 4

PASSES: tuple[Pass, ...] = (
    *STANDARD_PASSES,
    *CONVOLUTION_PASSES,
    AbsorbBias(),
    CenterChannels(),
    CenterPadded(),
    CenterRanges(),
    Equalize(),
    FillDepthwise(),
    SilenceChannels(),
)
# What changes nothing on this chain; the others must, or the test would prove nothing of them.
IDLE = {
    "remove_unused",
    "remove_identities",
    "fold_affine",
    "fold_constants",
    "remove_expansions",
    "fuse_hard_sigmoid",
    "fuse_gates",
    "fuse_gelu",
    "fuse_layer_norm",
    "fuse_lrn",
    "fuse_matmul",
    "fuse_pads",
    "fuse_root_mean_square",
    "fold_batch_norm",
    "fuse_activations",
    "batch_to_front",
    "split_transposed",
    "lift_matmul",
}


def chain(pads: tuple[int, int, int, int]) -> Graph:
    """Return depthwise and dense convolutions by turns behind limits, channels of which stay high and one constant; then sums
    with constants and sloped rectifiers.
    """
    generator = np.random.default_rng(0)
    steps: list[Step] = []
    constants: dict[str, Any] = {}
    moments = {}
    x = "x"
    for layer in range(LAYERS):
        depthwise = layer % 2 == 1
        groups = CHANNELS if depthwise else 1
        constants[f"w{layer}"] = generator.normal(
            size=(CHANNELS, CHANNELS // groups, 3, 3)
        ) * generator.uniform(0.1, 4, (CHANNELS, 1, 1, 1))
        constants[f"b{layer}"] = generator.normal(size=CHANNELS)
        steps += [
            (Conv(groups=groups, pads=pads), f"{x} w{layer} b{layer}", f"c{layer}"),
            (Clip(minimum=0.0, maximum=6.0), f"c{layer}", f"a{layer}"),
        ]
        moments[f"c{layer}"] = Moments.of([-9.0, 4.0, 2.0, 4.0], [0.5, 0.1, 0.5, 0.2])
        x = f"a{layer}"
    for layer in range(LAYERS):
        constants[f"s{layer}"] = generator.normal(size=(1, CHANNELS, 1, 1))
        constants[f"p{layer}"] = generator.uniform(0.1, 0.2, (CHANNELS, 1, 2))
        steps += [
            (Add(), f"{x} s{layer}", f"d{layer}"),
            (PRelu(), f"d{layer} p{layer}", f"e{layer}"),
        ]
        x = f"e{layer}"
    size = 2 if any(pads) else 2 + 2 * LAYERS
    graph = graph_of({"x": (None, CHANNELS, size, size)}, steps, x, constants)
    return FuseActivations()(graph.edit(moments=moments))


@pytest.mark.parametrize("rewrite", PASSES, ids=lambda rewrite: str(rewrite.name))
def test_a_pass_makes_a_few_graphs_however_many_layers_it_rewrites(rewrite: Pass) -> None:
    prove = Graph.__post_init__
    changed = False
    for pads in ((0, 0, 0, 0), (1, 1, 1, 1)):
        graph = chain(pads)
        with mock.patch.object(
            Graph, "__post_init__", autospec=True, side_effect=prove
        ) as made:
            result = rewrite(graph)
        assert made.call_count <= MOST_GRAPHS
        changed |= result != graph
    assert changed == (rewrite.name not in IDLE)
