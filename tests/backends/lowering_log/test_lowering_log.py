"""What the lowering to logarithmic codes decides: grids, biases, forms of values, rounding, drift."""

from __future__ import annotations

import decimal
from fractions import Fraction
from pathlib import Path

import networks
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.backends.lowering_log.drift import mean_error
from intlower.backends.lowering_log.rounding import round_to_levels
from intlower.backends.lowering_log.weighted import bias_code, choose_weight_grid, narrowed
from intlower.compiler.discovery import load_target
from intlower.compiler.errors import CalibrationWarning, TargetError
from intlower.compiler.graph import Moments
from intlower.compiler.grids import LogGrid, linear_grid
from intlower.compiler.pipeline import compile_model
from intlower.compiler.program import IntegerProgram
from intlower.compiler.recipe import WeightRounding


def compiled(model: onnx.ModelProto, folder: Path, target: str = "nnie") -> IntegerProgram:
    onnx.save(model, folder / "model.onnx")
    samples = networks.random_inputs(model, batch=4)
    return compile_model(folder / "model.onnx", target=target, samples=samples)


@given(
    st.floats(-1e4, 1e4),
    st.floats(2.0**-12, 2.0**12),
    st.floats(2.0**-8, 2.0**8),
    st.sampled_from([8, 16]),
)
def test_a_bias_is_its_quotient_rounded_to_nearest(
    bias: float, input_clip: float, weight_clip: float, bits: int
) -> None:
    source, weights = LogGrid.reaching(bits, input_clip), LogGrid.reaching(bits, weight_clip)
    layout = source.layout
    with decimal.localcontext(prec=80):
        exponent = decimal.Decimal(source.z + weights.z) / layout.steps
        unit = decimal.Decimal(2) ** (exponent - 14 + layout.product_shift)
        quotient = decimal.Decimal(bias) / unit
        assert abs(bias_code(bias, source, weights) - quotient) <= decimal.Decimal("0.5000001")


@given(st.floats(1e-3, 1e6), st.floats(0, 1e-3), st.sampled_from([8, 16]))
def test_a_bias_always_fits_its_digits(bias: float, weight: float, bits: int) -> None:
    source = LogGrid.reaching(bits, 1.0)
    grid = choose_weight_grid(np.array([[weight]]), np.array([bias]), source)
    assert abs(bias_code(bias, source, grid)) <= 1 << 59


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(6, 3, 3, 3), (5, 7, 1, 1), (4, 9)]))
def test_cancelling_moves_no_code_past_its_weights_other_side(
    seed: int, shape: tuple[int, ...]
) -> None:
    weights = np.random.default_rng(seed).normal(size=shape)
    grid = LogGrid.reaching(8, float(np.abs(weights).max()))
    nearest, turned = (
        grid.dequantize(round_to_levels(weights, grid, rounding)).astype(np.float64) - weights
        for rounding in (WeightRounding.NEAREST, WeightRounding.SQUANT)
    )
    changed = nearest != turned
    assert (np.sign(nearest[changed]) == -np.sign(turned[changed])).all()
    window = (
        tuple(range(2, len(shape))) if np.prod(shape[2:]) > 1 else tuple(range(1, len(shape)))
    )

    def objective(error: np.ndarray) -> np.ndarray:
        return np.asarray(error.sum(axis=window) ** 2 + (error**2).sum(axis=window))

    assert (objective(turned) <= objective(nearest) * (1 + 1e-9)).all()


def test_the_drift_is_what_encoding_does_to_the_mean() -> None:
    mean, std = np.array([1.0, 3.0, -1.0, 0.001]), np.array([0.5, 2.0, 1.0, 0.002])
    grid = LogGrid.reaching(8, 6.0)
    x = np.random.default_rng(0).normal(mean, std, (400_000, 4)).clip(0.0, 6.0)
    errors = grid.dequantize(grid.quantize(x)).astype(np.float64) - x
    expected = mean_error(Moments.of(mean, std), (0.0, 6.0), grid)
    # 400 000 samples of errors below 0.05 leave a standard error of 1e-4; 1024 points about as much.
    np.testing.assert_allclose(expected, errors.mean(axis=0), atol=4e-4)
    assert expected[1] < -1e-3  # numbers held at 6 become 5.907


def test_every_form_of_a_value_is_made_once(tmp_path: Path) -> None:
    program = compiled(networks.residual_block(seed=3), tmp_path)
    operators = [instruction.kernel.operator for instruction in program.instructions]
    assert {"log_conv2d", "log_encode", "log_decode", "linear_add"} <= set(operators)
    for operator in ("log_encode", "log_decode"):
        sources = [i.inputs for i in program.instructions if i.kernel.operator == operator]
        assert len(set(sources)) == len(sources)
    for instruction in program.instructions:
        reads_codes = instruction.kernel.operator in ("log_conv2d", "log_gemm", "log_decode")
        for name in instruction.inputs:
            assert isinstance(program.tensors[name].grid, LogGrid) == reads_codes
    assert all(program.tensors[name].grid == linear_grid() for name in program.outputs)
    assert all(isinstance(program.tensors[name].grid, LogGrid) for name in program.inputs)


def test_numbers_too_small_for_12_fraction_bits_are_reported(tmp_path: Path) -> None:
    model = networks.conv_bn_relu(seed=3)
    onnx.save(model, tmp_path / "model.onnx")
    samples = {n: x * 1e-3 for n, x in networks.random_inputs(model, batch=4).items()}
    with pytest.warns(CalibrationWarning, match="coarser than its codes"):
        compile_model(
            tmp_path / "model.onnx",
            target="nnie",
            samples=samples,
            removed=("silence_channels",),
        )


@pytest.mark.parametrize("bits", [8, 16])
def test_the_contract_says_its_bits(bits: int) -> None:
    target = load_target(f"nnie:bits={bits}")
    assert target.spec.name == ("nnie" if bits == 8 else "nnie:bits=16")
    fields = {field: value for field, value, _ in target.spec.contract()}
    assert fields["bits"].startswith(f"{bits}: 1 sign")
    assert str(LogGrid.reaching(bits, 1.0).layout.steps) in fields["levels"]


@pytest.mark.parametrize("step", ["gptq", "correct_on_samples", "fill_depthwise"])
def test_steps_without_a_form_here_are_refused(step: str) -> None:
    with pytest.raises(TargetError, match=step):
        load_target("nnie").recipe("default", added=[step])


def rounded_quotient(bias: int, shift: int) -> int:
    magnitude = int(
        Fraction(abs(bias), 1 << shift) + Fraction(1, 2)
    )  # positive: int() is floor
    return -magnitude if bias < 0 else magnitude


@given(st.lists(st.integers(-(1 << 59), 1 << 59), min_size=1), st.integers(2, 59))
def test_narrow_biases_are_the_nearest_multiples_that_fit(biases: list[int], bits: int) -> None:
    limit = 1 << (bits - 1)
    shift = next(
        g for g in range(61) if all(-limit <= rounded_quotient(b, g) < limit for b in biases)
    )
    assert narrowed(biases, bits) == [rounded_quotient(b, shift) << shift for b in biases]


@pytest.mark.parametrize("bits", ["8", "16"])
def test_biases_of_24_bits_change_biases_alone(bits: str, tmp_path: Path) -> None:
    model = networks.residual_block(seed=3)
    onnx.save(model, tmp_path / "model.onnx")
    samples = networks.random_inputs(model, batch=4)
    programs = [
        compile_model(
            tmp_path / "model.onnx", target=f"nnie:bits={bits},bias={bias}", samples=samples
        )
        for bias in ("wide", "24")
    ]
    assert programs[1].target.endswith("bias=24")
    widths = []
    for wide, narrow in zip(*(program.instructions for program in programs), strict=True):
        assert wide.kernel == narrow.kernel
        for name, constant in wide.constants.items():
            if not name.startswith("bias"):
                assert constant == narrow.constants[name]
        if "bias_low" in narrow.constants:
            low, high = (
                narrow.constants[f"bias_{part}"].array.tolist() for part in ("low", "high")
            )
            codes = [(upper << 30) + lower for upper, lower in zip(high, low, strict=True)]
            shift = min(((c & -c).bit_length() - 1 for c in codes if c), default=0)
            widths.append(max((abs(c) >> shift).bit_length() for c in codes))
    assert widths
    assert max(widths) <= 24
