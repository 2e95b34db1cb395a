"""A model file from anywhere, read into memory: every offset, length and path in it is checked first."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx

from intlower.compiler.errors import ModelError

# The limit of a protobuf message, which a model with its weights is when the checker reads it.
LARGEST_MODEL_BYTES = (1 << 31) - 1

# The mark that artifacts carry in `metadata_props`.
ARTIFACT_KEY = "intlower"


def read_model(path: Path) -> tuple[onnx.ModelProto, str]:
    """Return the model with its external data loaded, and the SHA-256 of the file's bytes in hex.

    External data is only read from files in the model's own folder or below it, after symbolic
    links are followed, that have no other name (a hard link): what onnx had to learn in CVE-2022-25882,
    CVE-2024-27318, CVE-2026-27489 and CVE-2026-34446.

    Raises:
        ModelError: there is no such file, it is not an ONNX model, it is an intlower artifact,
            or its external data is missing, too short or outside its folder.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise ModelError(f"{path} is a folder", "name the .onnx file in it")
        if path.stat().st_size > LARGEST_MODEL_BYTES:
            raise ModelError(f"{path} is larger than 2 GiB, the limit of an ONNX file")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist", "check the path of the model") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None
    model = _parse(path, data)
    if any(entry.key == ARTIFACT_KEY for entry in model.metadata_props):
        raise ModelError(
            f"{path} is an intlower artifact, not a float model",
            "artifacts are run with `simulate`, `verify` or `inspect`; give the model that it "
            "was compiled from",
        )
    _load_external_data(path, model, len(data))
    return model, hashlib.sha256(data).hexdigest()


def _parse(path: Path, data: bytes) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
        # Some files of other kinds parse by chance, as messages of unknown fields only.
        valid = model.ir_version > 0 and bool(model.opset_import) and model.HasField("graph")
    except Exception:  # DecodeError of protobuf, which onnx does not pass on by name
        valid = False
    if not valid:
        raise ModelError(
            f"{path} is not an ONNX model, or is truncated",
            "export the model to ONNX, or copy the file again",
        )
    return model


def external_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor of the model whose data is in another file."""
    nodes = [node for function in model.functions for node in function.node]
    for tensor in (*_graph_tensors(model.graph), *_node_tensors(nodes)):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield tensor


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for graph in (attribute.g, *attribute.graphs):
                yield from _graph_tensors(graph)


def _load_external_data(path: Path, model: onnx.ModelProto, size_bytes: int) -> None:
    """Move the data of external tensors into the model, whose file has so many bytes."""
    folder = path.parent.resolve()
    total = size_bytes
    for tensor in external_tensors(model):
        entries = {entry.key: entry.value for entry in tensor.external_data}
        file = _external_file(folder, tensor.name, entries.get("location", ""))
        needed = _data_bytes(tensor)
        total += needed
        if total > LARGEST_MODEL_BYTES:
            raise ModelError(f"{path} with its external data is larger than 2 GiB")
        offset = _count(tensor.name, entries.get("offset", "0"))
        length = _count(tensor.name, entries.get("length", str(needed)))
        if length != needed or offset + length > file.stat().st_size:
            raise ModelError(
                f"external data of {tensor.name!r}: {length} bytes at {offset} of {file.name!r} "
                f"({file.stat().st_size} bytes) are not the {needed} bytes of the tensor",
                "export the model again, or copy its data file again",
            )
        with file.open("rb") as stream:
            if os.fstat(stream.fileno()).st_nlink > 1:
                raise ModelError(
                    f"external data of {tensor.name!r}: {file.name!r} is a hard link, which may be a file from anywhere",
                    "put a copy of the data file in its place: cp FILE COPY && mv COPY FILE",
                )
            stream.seek(offset)
            tensor.raw_data = stream.read(length)
        tensor.ClearField("external_data")
        tensor.data_location = onnx.TensorProto.DEFAULT


def _external_file(folder: Path, tensor: str, location: str) -> Path:
    try:
        file = (folder / location).resolve()
        outside = Path(location).is_absolute() or not file.is_relative_to(folder)
    except (OSError, RuntimeError, ValueError):  # a loop of links, a null byte
        outside = True
    if outside or not location:
        raise ModelError(
            f"external data of {tensor!r} lies outside the model's folder: {location!r}",
            "put the data file into the folder of the model; only it and its subfolders are read",
        )
    if not file.is_file():
        raise ModelError(
            f"external data of {tensor!r} is missing: there is no file {location!r}",
            "copy the data file into the folder of the model",
        )
    return file


def _data_bytes(tensor: onnx.TensorProto) -> int:
    try:
        item: int = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, TypeError, ValueError):
        item = 0
    if not item or any(dimension < 0 for dimension in tensor.dims):
        raise ModelError(f"external tensor {tensor.name!r} has an impossible type or shape")
    elements: int = math.prod(tensor.dims)
    return item * elements


def _count(tensor: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ModelError(f"external data of {tensor!r} has an impossible position: {text!r}")
    return int(text)
