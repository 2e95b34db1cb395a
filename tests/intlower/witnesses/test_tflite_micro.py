from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from litert_graphs import litert_programs
from shared_data import model_path, needs_shared_data
from strategies import draw_codes

import intlower
from intlower.compiler.crosscheck import random_inputs
from intlower.compiler.errors import ExportError, ScaleOutOfRange
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import run_reference
from intlower.witnesses.tflite_micro import open_tflite_micro

pytest.importorskip("tflite_micro", reason="pip install 'intlower[litert]'")
pytestmark = pytest.mark.crosscheck

KINDS = (
    "conv",
    "gemm",
    "add",
    "mean",
    "maximum",
    "concat",
    "pad",
    "slice",
    "reshape",
    "clip",
    "softmax",
)


@pytest.mark.parametrize("kind", KINDS)
def test_micro_gives_every_integer_of_an_operator(kind: str) -> None:
    @given(data=st.data(), seed=st.integers(0, 999), mode=st.sampled_from([0, 0, 1, 2, 3]))
    @settings(deadline=None, max_examples=5)
    def check(data: st.DataObject, seed: int, mode: int) -> None:
        try:
            program: IntegerProgram = data.draw(litert_programs(kind, "8"))
        except ScaleOutOfRange:
            assume(False)
        codes = draw_codes(program, seed, mode)
        try:
            theirs = open_tflite_micro(program)(codes)
        except ExportError:
            if kind != "mean":  # it has pads that are neither those of SAME nor none
                raise
            return
        ours = run_reference(program, codes)
        for name in program.outputs:
            assert np.array_equal(ours[name], theirs[name])

    check()


@needs_shared_data
@pytest.mark.parametrize("name", ["mlperf_kws_ds_cnn", "mlperf_ad_fc_autoencoder"])
def test_micro_gives_every_integer_of_a_real_network(name: str) -> None:
    program = intlower.compile(model_path(name), target="litert")
    codes = random_inputs(program, 2)
    ours, theirs = run_reference(program, codes), open_tflite_micro(program)(codes)
    for output in program.outputs:
        assert np.array_equal(ours[output], theirs[output])
