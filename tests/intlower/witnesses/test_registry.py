from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import pytest
import shared_data

import intlower
from intlower.commands import verify
from intlower.compiler.errors import IntlowerError
from intlower.compiler.simulator import quantize_inputs
from intlower.witnesses import registry
from intlower.witnesses.registry import WITNESSES, find_witness
from intlower.witnesses.witness import compare_with

NETWORKS = {
    "classifier": networks.classifier,
    "residual_block": networks.residual_block,
    "depthwise_separable": networks.depthwise_separable,
}


def installed(name: str) -> Any:
    """Return a witness; skip where it is not installed or is for another machine."""
    if not WITNESSES[name].installed():
        pytest.skip(f"needs {WITNESSES[name].install}")
    return WITNESSES[name]


# The other witnesses read .tflite files, which hold programs of the target litert only.
READ_TFLITE = ("litert", "tflite-micro")
READ_QDQ = tuple(name for name in WITNESSES if name not in READ_TFLITE)


def saturates(name: str) -> bool:
    """Whether a witness's 16-bit sums of int8 weights saturate: OpenVINO's on x86 without VNNI.

    Source: OpenVINO documentation, Low Precision Transformations, "Saturation (overflow) issue".
    """
    features = Path("/proc/cpuinfo")
    return name == "openvino" and not (features.exists() and "vnni" in features.read_text())


def test_the_command_knows_every_witness() -> None:
    assert tuple(WITNESSES) == verify.WITNESSES


def test_a_missing_witness_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(
        registry.WITNESSES["openvino"].__class__, "installed", lambda self: False
    )
    with pytest.raises(IntlowerError, match="the witness 'openvino' needs openvino") as caught:
        find_witness("openvino")
    assert caught.value.hint == "pip install 'intlower[bench]'"


@pytest.mark.crosscheck
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("target", ["snpe", "tensorrt"])
@pytest.mark.parametrize("name", READ_QDQ)
def test_every_witness_stays_near_the_program(
    name: str, target: str, network: str, tmp_path: Path
) -> None:
    witness = installed(name)
    model = NETWORKS[network](seed=3)
    onnx.save(model, tmp_path / "model.onnx")
    samples = networks.random_inputs(model, batch=8, seed=4)
    program = intlower.compile(tmp_path / "model.onnx", target=target, samples=samples)
    codes = quantize_inputs(program, samples)
    for variant in witness.variants:
        found = compare_with(variant, program, codes, bisect=True)
        assert found.compared == sum(
            x.size for x in intlower.simulate_integers(program, codes).values()
        )
        if not (saturates(name) and target == "tensorrt"):
            # a step for each of a few layers; a wrong scale or zero point gives tens
            assert found.max_difference <= 4
        assert (found.first is None) or found.first.expected != found.first.actual


@pytest.mark.crosscheck
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", READ_TFLITE)
def test_tflites_reference_kernels_give_the_programs_integers(
    name: str, network: str, tmp_path: Path
) -> None:
    witness = installed(name)
    model = NETWORKS[network](seed=3)
    onnx.save(model, tmp_path / "model.onnx")
    samples = networks.random_inputs(model, batch=8, seed=4)
    program = intlower.compile(tmp_path / "model.onnx", target="litert", samples=samples)
    codes = quantize_inputs(program, samples)
    exact, *others = (compare_with(v, program, codes, bisect=False) for v in witness.variants)
    assert exact.mismatches == 0
    assert all(found.max_difference <= 4 for found in others)


@shared_data.needs_shared_data
@pytest.mark.slow
@pytest.mark.crosscheck
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", READ_QDQ)
def test_a_real_network_keeps_its_classes(name: str) -> None:
    witness = installed(name)
    program = intlower.compile(shared_data.model_path("mlperf_kws_ds_cnn"), target="snpe")
    frames, labels = shared_data.evalsets().load("mlperf_kws_ds_cnn", 40)
    codes = quantize_inputs(program, {program.inputs[0]: frames})
    for variant in witness.variants:
        found = compare_with(variant, program, codes, labels=np.asarray(labels, np.int64))
        assert found.top1_agreement is not None
        assert found.top1_agreement >= 0.95
