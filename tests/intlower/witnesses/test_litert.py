"""LiteRT and TFLite Micro against our oracle, on every operator and on real networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from litert_graphs import KINDS, litert_programs
from shared_data import evalsets, model_path, needs_shared_data
from strategies import draw_codes

import intlower
from intlower.compiler.crosscheck import random_inputs
from intlower.compiler.errors import ExportError, ScaleOutOfRange
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import open_program, quantize_inputs, run_reference

pytest.importorskip("ai_edge_litert", reason="pip install 'intlower[litert]'")
pytestmark = [
    pytest.mark.crosscheck,
    pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors:UserWarning"),
]

from intlower.witnesses.litert import open_litert  # noqa: E402  (after the check that it is there)

NETWORKS = (
    "mlperf_ic_resnet8",
    "mlperf_kws_ds_cnn",
    "mlperf_ad_fc_autoencoder",
    "cifar10_resnet20",
    "mobilenet_v1_025_imagenet",
    "mobilenet_v2_imagenet",
)


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, int]:
    """Return, for each tensor, how many of its integers differ; those that have none are left out."""
    counts = {
        name: int(np.count_nonzero(array != ours[name])) for name, array in theirs.items()
    }
    return {name: count for name, count in counts.items() if count}


@pytest.mark.parametrize("bits", ["8", "16x8"])
@pytest.mark.parametrize("kind", KINDS)
def test_reference_kernels_give_every_integer_of_an_operator(kind: str, bits: str) -> None:
    @given(data=st.data(), seed=st.integers(0, 999), mode=st.sampled_from([0, 0, 1, 2, 3]))
    @settings(deadline=None, max_examples=6)
    def check(data: st.DataObject, seed: int, mode: int) -> None:
        program = lowered(data, kind, bits)
        codes = draw_codes(program, seed, mode)
        ours = run_reference(program, codes, keep_all=True)
        try:
            theirs = open_litert(program, every_tensor=True)(codes)
        except ExportError:
            if kind != "mean":  # it has pads that are neither those of SAME nor none
                raise
            return
        assert set(theirs) == set(program.tensors)
        assert differences(ours, theirs) == {}

    check()


def lowered(data: st.DataObject, kind: str, bits: str) -> IntegerProgram:
    """Draw a program; ranges at random may be beyond the target's multipliers."""
    try:
        program: IntegerProgram = data.draw(litert_programs(kind, bits))
    except ScaleOutOfRange:
        assume(False)
    return program


@needs_shared_data
@pytest.mark.parametrize(
    ("name", "target"),
    [
        *((name, "litert") for name in NETWORKS),
        *((name, "litert:bits=16x8") for name in NETWORKS[:4]),
    ],
)
def test_reference_kernels_give_every_integer_of_a_real_network(name: str, target: str) -> None:
    program = intlower.compile(model_path(name), target=target)
    codes = random_inputs(program, 2)
    theirs = open_litert(program, every_tensor=True)(codes)
    assert differences(open_program(program).run_all(codes), theirs) == {}


@needs_shared_data
def test_xnnpack_rounds_products_in_single_precision() -> None:
    """Its integers differ by little, and the classes hardly: a product is rounded once in float32."""
    program = intlower.compile(model_path("cifar10_resnet20"), target="litert")
    samples, _ = evalsets().load("cifar10_resnet20", 50)
    codes = quantize_inputs(program, {program.inputs[0]: samples})
    (ours,) = open_program(program).run(codes).values()
    (theirs,) = open_litert(program, every_tensor=False, reference=False)(codes).values()
    assert np.abs(ours.astype(int) - theirs).max() <= 3
    assert np.count_nonzero(ours.argmax(axis=1) == theirs.argmax(axis=1)) >= 48
