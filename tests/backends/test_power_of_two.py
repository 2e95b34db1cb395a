"""The targets whose scales are powers of two: options, contracts, and what their programs hold to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import networks
import numpy as np
import onnx
import pytest

from intlower.compiler.discovery import load_target
from intlower.compiler.errors import TargetError
from intlower.compiler.grids import uniform
from intlower.compiler.pipeline import compile_model
from intlower.compiler.program import IntegerProgram
from intlower.kernels.signature import Requantize

NAMES = (
    "vitis",
    "vitis:pool=aligned",
    "ristretto",
    "ristretto:bits=16",
    "ristretto:weights=power_of_two",
    "ristretto:ranges=published,bias=parameters",
    "wuqi:bits=16",
    "cvflow",
    "espdl",
    "espdl:chip=s3",
    "espdl:chip=c,bits=16",
)


def compiled(target: str, make: Callable[..., onnx.ModelProto], path: Path) -> IntegerProgram:
    model = make(seed=5)
    onnx.save(model, path / "model.onnx")
    samples = networks.random_inputs(model, batch=4)
    return compile_model(path / "model.onnx", target=target, samples=samples)


def positions(program: IntegerProgram) -> Mapping[str, int]:
    found = {}
    for name, tensor in program.tensors.items():
        scale = float(uniform(tensor.grid, name).scale.array)
        assert np.frexp(scale)[0] == 0.5, f"{name}: {scale} is no power of two"
        found[name] = 1 - int(np.frexp(scale)[1])
    return found


@pytest.mark.parametrize("target", NAMES)
def test_every_scale_is_a_power_of_two_and_every_zero_point_0(
    target: str, tmp_path: Path
) -> None:
    program = compiled(target, networks.residual_block, tmp_path)
    positions(program)
    for tensor in program.tensors.values():
        assert uniform(tensor.grid, tensor.name).zero_point == 0
    for instruction in program.instructions:
        if instruction.weight_grid is not None:
            scales = np.atleast_1d(uniform(instruction.weight_grid, "").scale.array)
            assert (np.frexp(scales)[0] == 0.5).all()


@pytest.mark.parametrize("target", ["vitis", "vitis:pool=aligned"])
@pytest.mark.parametrize(
    "make", [networks.residual_block, networks.depthwise_separable, networks.concat_network]
)
def test_the_shifts_of_the_dpu_stay_within_their_limits(
    target: str, make: Callable[..., onnx.ModelProto], tmp_path: Path
) -> None:
    program = compiled(target, make, tmp_path)
    place = positions(program)
    for found in program.instructions:
        at = [place[name] for name in found.inputs]
        if found.kernel.operator in ("conv2d", "gemm"):
            assert found.weight_grid is not None
            weights = -round(np.log2(found.weight_grid.step))
            assert 0 <= weights + at[0] - place[found.output] <= 16
            biases = found.constants["bias"].array.astype(np.int64)
            assert any(
                ((biases >> shift << shift) == biases).all()
                and (np.abs(biases >> shift) <= 128).all()
                for shift in range(17)
            )
        if found.kernel.operator == "add":
            assert max(at) - min(at) <= 15
            assert -15 <= min(at) - place[found.output] <= 15
        if found.kernel.operator == "concat":
            assert {*at} == {place[found.output]}
        if found.kernel.operator == "average_pool" and target.endswith("aligned"):
            assert at == [place[found.output]]


def test_weights_that_are_powers_of_two_have_no_zero(tmp_path: Path) -> None:
    program = compiled("ristretto:weights=power_of_two", networks.residual_block, tmp_path)
    for found in program.instructions:
        if found.weight_grid is not None:
            codes = np.abs(found.constants["weights"].array.astype(np.int64))
            assert set(np.unique(codes)) <= {1 << e for e in range(8)}
            assert found.weight_grid.step == 2.0**-8


def test_only_the_s3_saturates(tmp_path: Path) -> None:
    operators = {
        chip: {
            i.kernel.operator
            for i in compiled(
                f"espdl:chip={chip}", networks.residual_block, tmp_path
            ).instructions
        }
        for chip in ("p4", "s3", "c")
    }
    assert not any("saturating" in name for name in operators["p4"] | operators["c"])
    rules = {chip: load_target(f"espdl:chip={chip}").spec.contract() for chip in ("p4", "s3")}
    words = {chip: {field: text for field, text, _ in lines} for chip, lines in rules.items()}
    assert words["s3"]["accumulator"].startswith("int20")
    assert "saturates" in words["s3"]["accumulator"]
    assert words["p4"]["requantize"].startswith(Requantize.POWEREVEN.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ristretto:bits=4", "8, 16"),
        ("ristretto:bits=16,weights=power_of_two", "not both"),
        ("ristretto:weights=power_of_two,bias=parameters", "not both"),
        ("espdl:chip=s2", "p4, s3, c"),
        ("vitis:bits=16", "pool"),
        ("cvflow:bits=32", "8, 16"),
        ("wuqi:chip=1", "bits"),
    ],
)
def test_impossible_options_are_refused_with_the_possible_ones(name: str, hint: str) -> None:
    with pytest.raises(TargetError) as caught:
        load_target(name)
    assert hint in f"{caught.value} {caught.value.hint}"


def test_unsigned_codes_where_nothing_is_negative(tmp_path: Path) -> None:
    program = compiled("cvflow", networks.conv_bn_relu, tmp_path)
    kinds = {tensor.grid.element.value for tensor in program.tensors.values()}
    assert "u8" in kinds
