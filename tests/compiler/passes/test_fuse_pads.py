from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_building import assert_same_function, graph_of, operators
from hypothesis import given
from hypothesis import strategies as st

from intlower.compiler.operators import Conv, Pad, PadMode, Relu
from intlower.compiler.passes.fuse_pads import FusePads
from intlower.compiler.passes.remove_unused import RemoveUnused

WEIGHTS = np.random.default_rng(5).normal(size=(4, 3, 3, 2)).astype(np.float32)
BORDER = st.integers(0, 3)


@given(
    st.lists(st.tuples(BORDER, BORDER, BORDER, BORDER), min_size=1, max_size=2),
    st.tuples(*[st.integers(0, 1)] * 4),
    st.sampled_from([(1, 1), (2, 2)]),
    st.sampled_from([(1, 1), (2, 3)]),
)
def test_the_function_stays_and_no_window_lies_in_padding_alone(
    borders: list[tuple[int, int, int, int]],
    own: tuple[int, int, int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
) -> None:
    steps = []
    for number, (top, left, bottom, right) in enumerate(borders):
        pad = Pad(pads=(0, 0, top, left, 0, 0, bottom, right))
        steps.append((pad, f"v{number}", f"v{number + 1}"))
    conv = Conv(pads=own, strides=strides, dilations=dilations)
    steps.append((conv, f"v{len(borders)} w", "y"))
    graph = graph_of({"v0": (None, 3, 6, 7)}, steps, "y", {"w": WEIGHTS})
    after = RemoveUnused()(FusePads()(graph))
    assert_same_function(graph, after)
    (fused,) = (node.operator for node in after.nodes if isinstance(node.operator, Conv))
    reach = [(size - 1) * step + 1 for size, step in zip((3, 2), dilations, strict=True)]
    sums = [own[i] + sum(border[i] for border in borders) for i in range(4)]
    if max(sums[0], sums[2]) < reach[0] and max(sums[1], sums[3]) < reach[1]:
        assert operators(after) == ["Conv"]
    assert fused.pads == own or (
        max(fused.pads[0], fused.pads[2]) < reach[0]
        and max(fused.pads[1], fused.pads[3]) < reach[1]
    )


ZEROS = Pad(pads=(0, 0, 1, 1, 0, 0, 1, 1))


@pytest.mark.parametrize(
    "pad",
    [
        replace(ZEROS, value=1.0),
        replace(ZEROS, mode=PadMode.EDGE),
        replace(ZEROS, pads=(0, 1, 1, 1, 0, 0, 1, 1)),
    ],
    ids=["ones", "edge", "channels"],
)
def test_other_padding_stays(pad: Pad) -> None:
    channels = 3 + pad.pads[1]
    weights = np.ones((4, channels, 3, 3), np.float32)
    graph = graph_of(
        {"x": (None, 3, 6, 6)}, [(pad, "x", "p"), (Conv(), "p w", "y")], "y", {"w": weights}
    )
    assert FusePads()(graph) == graph


def test_padding_that_others_read_as_well_stays_for_them() -> None:
    graph = graph_of(
        {"x": (None, 3, 6, 6)},
        [(ZEROS, "x", "p"), (Conv(), "p w", "y"), (Relu(), "p", "z")],
        "y z",
        {"w": WEIGHTS},
    )
    after = FusePads()(graph)
    assert operators(after) == ["Pad", "Conv", "Relu"]
    assert after.nodes[1].inputs[0] == "x"
    assert_same_function(graph, after)
