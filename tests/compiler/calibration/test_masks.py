"""Scores that a constant masks: the range of what no share shows is left out, and the integers mask all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import intlower
from intlower.compiler.calibration.masks import masked_scores, raised
from intlower.compiler.errors import IntlowerError
from intlower.compiler.importer import import_model
from intlower.compiler.simulator import quantize_inputs, run_reference, simulate_integers

LENGTH, WIDTH = 10, 8
LEAST = float(np.finfo(np.float32).min)
MASKS = (-100.0, -1e4, -1e9, LEAST, -np.inf)
TRIANGLE = np.tril(np.ones((1, LENGTH, LENGTH), np.bool_))


def attention(mask: float | None, *, form: str = "Add", reshaped: bool = False) -> Any:
    """One head of causal attention; the mask is added, chosen by Where, or absent."""
    b = networks.NetworkBuilder(seed=5)

    def product(x: str) -> str:
        return b.node("MatMul", x, b.normal(WIDTH, WIDTH, scale=0.6))

    query, key, value = product("input"), product("input"), product("input")
    scores = b.node("MatMul", query, b.node("Transpose", key, perm=[0, 2, 1]))
    if mask is not None and form == "Add":
        scores = b.node("Add", scores, b.constant(np.where(TRIANGLE, 0, mask)))
    elif mask is not None:
        scores = b.node("Where", b.constant(TRIANGLE, np.bool_), scores, b.constant(mask))
    if reshaped:
        scores = b.node("Reshape", scores, b.integers(0, 1, LENGTH, LENGTH))
    shares = b.node("Softmax", scores, axis=-1)
    if reshaped:
        shares = b.node("Reshape", shares, b.integers(0, LENGTH, LENGTH))
    return b.model({"input": ["N", LENGTH, WIDTH]}, b.node("MatMul", shares, value))


def noise_of(model: onnx.ModelProto, target: str, folder: Path) -> float:
    """Return the share of the output's energy that integers change; oracle and kernels agree."""
    onnx.save(model, folder / "model.onnx")
    inputs = {"input": np.random.default_rng(1).standard_normal((24, LENGTH, WIDTH))}
    inputs = {name: array.astype(np.float32) for name, array in inputs.items()}
    program = intlower.compile(folder / "model.onnx", target=target, samples=inputs)
    codes = quantize_inputs(program, inputs)
    integers, expected = simulate_integers(program, codes), run_reference(program, codes)
    assert all(np.array_equal(integers[name], expected[name]) for name in expected)
    (found,) = intlower.simulate(program, inputs).values()
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (real,) = session.run(None, inputs)
    return float(np.square(found - real).mean() / np.square(real).mean())


@pytest.mark.parametrize("target", ["tensorrt", "snpe", "nnie"])
def test_a_mask_costs_no_accuracy_however_it_is_written(target: str, tmp_path: Path) -> None:
    plain = noise_of(attention(None), target, tmp_path)
    forms = [attention(mask) for mask in MASKS]
    forms += [attention(mask, form="Where") for mask in MASKS[2:]]
    forms.append(attention(-np.inf, reshaped=True))
    for model in forms:
        assert noise_of(model, target, tmp_path) < 1.5 * plain


@given(
    arrays(np.float32, (3, 7), elements=st.floats(-50, 50, width=32)),
    st.sampled_from([8, 16]),
)
def test_what_is_raised_changes_no_share_by_half_a_level(scores: Any, bits: int) -> None:
    shares, found = (_softmax(x) for x in (scores, raised(scores, 1, bits)))
    assert np.abs(shares - found).max() <= 0.5 / 2**bits


def _softmax(x: Any) -> Any:
    exponentials = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_only_what_softmaxes_alone_read_is_taken_for_scores() -> None:
    assert len(masked_scores(import_model(attention(-1e9)))) == 1
    assert len(masked_scores(import_model(attention(-1e9, reshaped=True)))) == 2
    assert not masked_scores(import_model(attention(-1.0)))
    b = networks.NetworkBuilder()
    shifted = b.node("Add", "input", b.constant(np.full((1, 1, 4), -1e3)))
    read_twice = b.node("Add", b.node("Softmax", shifted, axis=-1), shifted)
    assert not masked_scores(import_model(b.model({"input": ["N", 3, 4]}, read_twice)))


def test_infinities_that_are_no_masks_are_still_refused() -> None:
    b = networks.NetworkBuilder()
    y = b.node("Add", "input", b.constant(np.full((1, 1, 4), np.inf)))
    with pytest.raises(IntlowerError, match="infinite"):
        import_model(b.model({"input": ["N", 3, 4]}, y))
