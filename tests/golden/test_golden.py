"""The committed vectors against today's compiler and today's three executions."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from golden.make_golden import (
    COMMAND,
    LEFT_OUT,
    golden_arrays,
    golden_network,
    golden_path,
    golden_targets,
)
from numpy.typing import NDArray

from intlower.compiler.artifact_metadata import parse_metadata
from intlower.compiler.constant import Constant
from intlower.compiler.crosscheck import OnnxruntimeWitness
from intlower.compiler.discovery import load_target
from intlower.compiler.grids import UniformGrid
from intlower.compiler.program import Instruction, IntegerProgram, Tensor
from intlower.compiler.simulator import open_program, run_reference
from intlower.data_files import read_npz
from intlower.kernels.signature import KernelKey

TARGETS = golden_targets()
LARGEST_BYTES = 100_000

Arrays = dict[str, NDArray[Any]]


@cache
def committed(target: str) -> tuple[dict[str, Any], Arrays]:
    """Return the index and the arrays of a target's file."""
    path = golden_path(target)
    assert path.exists(), f"there is no {path.name}: {COMMAND} {target}"
    arrays = read_npz(path)
    return json.loads(arrays["index"].tobytes()), arrays


def array(arrays: Arrays, entry: dict[str, Any]) -> NDArray[Any]:
    """Return the array of an entry of the index, which says what it is."""
    found = arrays[entry["file"].removesuffix(".npy")]
    assert list(found.shape) == entry["shape"]
    assert str(found.dtype) == entry["dtype"]
    return found


def tensors_of(target: str) -> Arrays:
    """Return every tensor by name."""
    index, arrays = committed(target)
    entries = [*index["inputs"], *(step["output"] for step in index["instructions"])]
    return {entry["tensor"]: array(arrays, entry) for entry in entries}


def program_of(target: str) -> IntegerProgram:
    """Return the program that a file describes, from its index alone: an implementation elsewhere would read it so."""
    index, arrays = committed(target)
    metadata = parse_metadata(json.dumps(index["metadata"]))
    entries = [*index["inputs"], *(step["output"] for step in index["instructions"])]
    return IntegerProgram(
        target=metadata.target,
        inputs=tuple(entry["tensor"] for entry in index["inputs"]),
        outputs=tuple(index["outputs"]),
        tensors={
            entry["tensor"]: Tensor(
                name=entry["tensor"],
                shape=(None, *entry["shape"][1:]),
                grid=metadata.grids[entry["tensor"]],
            )
            for entry in entries
        },
        instructions=tuple(
            Instruction(
                name=step["name"],
                kernel=KernelKey.parse(step["kernel"]),
                inputs=tuple(step["inputs"]),
                output=step["output"]["tensor"],
                constants={
                    name: Constant(array(arrays, entry).copy())
                    for name, entry in step["constants"].items()
                },
                attributes={
                    name: tuple(value) if isinstance(value, list) else value
                    for name, value in step["attributes"].items()
                },
                weight_grid=metadata.weight_grids.get(step["name"]),
            )
            for step in index["instructions"]
        ),
        host=metadata.host,
        origin=metadata.origin,
    )


def same_numbers(actual: NDArray[Any], expected: NDArray[Any]) -> bool:
    """Whether two arrays have the same bits; of halves that are no numbers, any will do."""
    if expected.dtype.kind != "f":
        return np.array_equal(actual, expected)
    both = np.isnan(actual) & np.isnan(expected)
    bits = f"u{expected.dtype.itemsize}"
    return bool((both | (actual.view(bits) == expected.view(bits))).all())


@pytest.mark.crosscheck
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("engine", ["oracle", "numba", "onnxruntime"])
def test_an_execution_of_today_gives_the_committed_integers(target: str, engine: str) -> None:
    program, expected = program_of(target), tensors_of(target)
    inputs = {name: expected[name] for name in program.inputs}
    actual = {
        "oracle": lambda: run_reference(program, inputs, keep_all=True),
        "numba": lambda: open_program(program).run_all(inputs),
        "onnxruntime": lambda: OnnxruntimeWitness(program, keep_all=True).run(inputs),
    }[engine]()
    assert len(expected) > 8
    for name, codes in expected.items():
        if name not in inputs:
            assert actual[name].dtype == codes.dtype, name
            assert same_numbers(actual[name], codes), name


@pytest.mark.parametrize("target", TARGETS)
def test_real_inputs_give_the_committed_codes(target: str) -> None:
    program, (index, arrays) = program_of(target), committed(target)
    for entry in index["inputs"]:
        reals, codes = arrays[f"real.{entry['tensor']}"], array(arrays, entry)
        grid = program.tensors[entry["tensor"]].grid
        assert np.array_equal(grid.quantize(reals), codes[: len(reals)])
        if isinstance(grid, UniformGrid):
            quotients = reals / grid.scale.array
            ties = np.abs(quotients - np.floor(quotients)) == 0.5
            assert np.count_nonzero(ties) > reals.size / 2
            low, high = grid.limits
            assert {low, high} <= set(codes[: len(reals)].ravel().tolist())
            assert set(codes[-1].ravel().tolist()) == {low, high}


@pytest.mark.parametrize("target", TARGETS)
def test_making_a_file_again_gives_the_same_bytes(target: str) -> None:
    _, expected = committed(target)
    again = golden_arrays(target)
    assert list(again) == list(expected)
    for name, values in again.items():
        assert values.dtype == expected[name].dtype
        assert values.tobytes() == expected[name].tobytes(), f"{name}: {COMMAND} {target}"
    assert golden_path(target).stat().st_size < LARGEST_BYTES


@pytest.mark.parametrize("target", TARGETS)
def test_the_network_has_every_operator_of_the_target(target: str) -> None:
    operators = load_target(target).spec.operators
    _, drawn = golden_network(operators)
    assert operators - drawn - LEFT_OUT == set(), "draw them in golden_network()"
