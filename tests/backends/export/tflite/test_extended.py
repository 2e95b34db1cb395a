"""Rearrangement, gates, functions and attention in .tflite files: LiteRT's reference kernels give the program's integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networks
import networks_extended
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import draw_codes, instructions

import intlower
from intlower.backends.export.tflite import export_tflite
from intlower.compiler.crosscheck import random_inputs
from intlower.compiler.errors import ExportError
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import run_reference
from intlower.kernels.signature import ElementType
from intlower.witnesses.litert import open_litert

pytest.importorskip("ai_edge_litert", reason="pip install 'intlower[litert]'")

BOTH = ("litert", "litert:bits=16x8")


def attention(seed: int = 0) -> onnx.ModelProto:
    """Two heads of four axes: products of tensors, a scale, a softmax along the last axis."""
    b = networks.NetworkBuilder(seed=seed)
    heads = []
    for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
        x = b.node("MatMul", "input", b.normal(6, 6, scale=0.5))
        x = b.node("Reshape", x, b.integers(0, 5, 2, 3))
        heads.append(b.node("Transpose", x, perm=perm))
    scores = b.node("MatMul", heads[0], heads[1])
    gates = b.node("Sigmoid", b.node("Mul", scores, b.constant(0.6)))
    mixed = b.node("Transpose", b.node("MatMul", gates, heads[2]), perm=[0, 2, 1, 3])
    out = b.node("Add", b.node("Reshape", mixed, b.integers(0, 5, 6)), "input")
    return b.model({"input": ["N", 5, 6]}, b.node("Mul", out, b.normal(1, 5, 6)))


def compiled(make: Any, target: str, folder: Path) -> IntegerProgram:
    model = make(seed=1)
    onnx.save(model, folder / "model.onnx")
    samples = networks.random_inputs(model, batch=4)
    return intlower.compile(folder / "model.onnx", target=target, samples=samples)


def assert_same_integers(program: IntegerProgram, codes: Any) -> None:
    found = open_litert(program, True)(codes)
    for name, expected in run_reference(program, codes, keep_all=True).items():
        assert np.array_equal(found[name], expected), name


@pytest.mark.crosscheck
@pytest.mark.parametrize("target", BOTH)
@pytest.mark.parametrize(
    "make",
    [
        attention,
        networks_extended.squeeze_excitation,
        networks_extended.activations,
        networks_extended.channel_shuffle,
        networks_extended.transposed_convolution,
        networks_extended.token_mixer,
    ],
    ids=lambda make: str(make.__name__),
)
def test_litert_computes_every_tensor_of_a_network(
    make: Any, target: str, tmp_path: Path
) -> None:
    program = compiled(make, target, tmp_path)
    assert_same_integers(program, random_inputs(program, 3))


@pytest.mark.crosscheck
@pytest.mark.parametrize("operator", ["lookup", "lookup_channels", "lookup_interpolated"])
def test_tables_are_exact(operator: str) -> None:
    wide = operator == "lookup_interpolated"

    @settings(deadline=None, max_examples=15)
    @given(
        instructions(operator, [ElementType.INT16 if wide else ElementType.INT8]),
        st.integers(0, 2**32 - 1),
    )
    def check(program: IntegerProgram, seed: int) -> None:
        try:
            export_tflite(program)
        except ExportError:  # another type, a zero point of 16 bits
            return
        sizes = {name: program.tensors[name].shape[0] for name in program.inputs}
        codes = {
            name: array[: sizes[name]] for name, array in draw_codes(program, seed, 0).items()
        }
        assert_same_integers(program, codes)

    check()


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (networks_extended.upsampling_head, "resample"),
        (networks_extended.normalizations, "normalize"),
    ],
)
def test_what_tflite_computes_otherwise_is_refused_by_name(
    make: Any, named: str, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=f"'.*' is {named}_"):
        export_tflite(compiled(make, "litert", tmp_path))
