"""Fields of an artifact are changed, each in several ways: it is refused, or it runs inside its memory as the oracle does.

The digest of the constants and the copies of numbers in the metadata would refuse most changes at once. So a changed file whose
parts still make a program is written anew, consistent as a stranger would write it, and opened again.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import numpy as np
import onnx
import pytest
from fuzz.canaries import prove_bounds, run_with_canaries
from fuzz.mutations import other_values, places, put, remove, repeat, value_at
from fuzz.seeds import models
from networks import random_inputs

from intlower.compiler import artifact, execution
from intlower.compiler.artifact_metadata import METADATA_KEY
from intlower.compiler.crosscheck import random_inputs as random_codes
from intlower.compiler.errors import IntlowerError
from intlower.compiler.pipeline import compile_model
from intlower.compiler.planning.layout import ALIGNMENT
from intlower.compiler.program import IntegerProgram

TARGETS = ("tensorrt", "tensorrt_fp16", "nnie", "adreno")
# Work above which a changed program is opened, but not run: the oracle is slow.
MOST_WORK = 1 << 20
# All changes take minutes: without INTLOWER_EXHAUSTIVE in the environment, some are drawn.
EXHAUSTIVE = bool(os.environ.get("INTLOWER_EXHAUSTIVE"))
SHARES = {"changed_fields": 0.03, "changed_arrays": 0.3, "changed_metadata": 0.04}


@cache
def artifact_bytes(target: str) -> bytes:
    """A small classifier compiled: uniform, half precision, logarithmic, mixed."""
    model = models()["classifier"]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        return artifact.serialise(
            compile_model(path, target=target, samples=random_inputs(model))
        )


def opened(model: onnx.ModelProto) -> IntegerProgram | None:
    """Return the program that a file's parts make, if they make one, after it was written anew and opened."""
    try:
        artifact.parse(model.SerializeToString())
    except IntlowerError as error:
        refusal = str(error)
    else:
        refusal = "it was opened"
    assert len(refusal.splitlines()) == 1
    try:
        # Before the proof that the file is what we write: a hostile one would pass that.
        program = artifact._program(model)
        return artifact.parse(artifact.serialise(program))
    except (IntlowerError, ValueError):  # ValueError: `parse` makes an error of ours of it
        return None


def check(model: onnx.ModelProto) -> bool:
    """Prove that a changed file is refused or runs; return whether it runs."""
    program = opened(model)
    if program is None:
        return False
    sizes = sum(
        int(np.prod([d or 1 for d in tensor.shape])) for tensor in program.tensors.values()
    )
    if program.multiply_accumulates() + sizes <= MOST_WORK:
        prove_bounds(program, random_codes(program, 1))
    return True


def changed_fields(data: bytes) -> Iterator[onnx.ModelProto]:
    """Yield the file with each field removed, repeated, and set to one of the values that it could have.

    The bodies of functions are left out but for a few places: they are compared with what we write, as a whole.
    """
    random = Random(0)
    original = onnx.ModelProto.FromString(data)
    for place, field in list(places(original)):
        if place[0] == "functions" and random.random() > 0.01:
            continue
        value = value_at(original, place)
        actions: list[Any] = [lambda m, p: remove(m, p)]
        if isinstance(place[-1], int):
            actions.append(lambda m, p: repeat(m, p))
        if field.message_type is None and place[0] != "metadata_props":
            others = random.sample(other_values(field, value), 2)
            actions += [lambda m, p, other=other: put(m, p, other) for other in others]
        for action in actions:
            model = onnx.ModelProto()
            model.CopyFrom(original)
            action(model, place)
            yield model


def changed_arrays(data: bytes) -> Iterator[onnx.ModelProto]:
    """Yield the file with each constant's bytes, type and shape changed so that its size still fits."""
    original = onnx.ModelProto.FromString(data)
    for index, tensor in enumerate(original.graph.initializer):
        raw, dims = tensor.raw_data, list(tensor.dims)
        fills = [b"\0", b"\x7f", b"\x80", b"\xff"]
        variants: list[tuple[bytes, int, list[int]]] = [
            (fill * len(raw), tensor.data_type, dims) for fill in fills
        ]
        variants += [(raw[::-1], tensor.data_type, dims), (raw, tensor.data_type, dims[::-1])]
        variants += [
            (raw, tensor.data_type, [1, *dims]),
            (raw + raw, tensor.data_type, [2 * dims[0], *dims[1:]] if dims else [2]),
        ]
        for kind in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8, onnx.TensorProto.INT32):
            size = onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize
            if len(raw) % size == 0:
                variants.append((raw, kind, [len(raw) // size]))
        for changed, kind, shape in variants:
            model = onnx.ModelProto()
            model.CopyFrom(original)
            target = model.graph.initializer[index]
            target.raw_data, target.data_type = changed, kind
            target.dims[:] = shape
            yield model


def json_places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every object, list and leaf of a document."""
    if path:
        yield path
    items: Any = ()
    if isinstance(document, dict):
        items = document.items()
    elif isinstance(document, list):
        items = enumerate(document)
    for key, value in items:
        yield from json_places(value, (*path, key))


def changed_metadata(data: bytes) -> Iterator[onnx.ModelProto]:
    """Yield the file with each place of its JSON removed, and set to other values."""
    original = onnx.ModelProto.FromString(data)
    text = next(e.value for e in original.metadata_props if e.key == METADATA_KEY)
    replacements = (None, True, 0, -1, 1 << 62, 1e-30, 1e30, 0.5, "", "x", [], [1.0], {})
    for path in json_places(json.loads(text)):
        for replacement in (..., *replacements):
            document = json.loads(text)
            parent = document
            for step in path[:-1]:
                parent = parent[step]
            if replacement is ...:
                del parent[path[-1]]
            else:
                parent[path[-1]] = replacement
            model = onnx.ModelProto()
            model.CopyFrom(original)
            model.metadata_props[0].value = json.dumps(document, sort_keys=True)
            yield model


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("change", [changed_fields, changed_arrays, changed_metadata])
def test_a_changed_field_is_refused_or_runs_within_bounds(change: Any, target: str) -> None:
    random = Random(target)
    share = 1 if EXHAUSTIVE else SHARES[change.__name__]
    changes = [m for m in change(artifact_bytes(target)) if random.random() < share]
    ran = sum(check(model) for model in changes)
    # Some changes make another valid program: the test would otherwise prove less than it says.
    assert 0 < ran < len(changes)


def test_canaries_notice_a_write_outside_the_arena() -> None:
    program = artifact.parse(artifact_bytes("tensorrt"))

    def stray(table: Any, arena: Any, *_: Any) -> None:
        arena.base[: 2 * ALIGNMENT] ^= 1

    codes = random_codes(program, 1)
    with mock.patch.object(execution, "walk", stray), pytest.raises(AssertionError):
        run_with_canaries(program, codes, 0xA5)
