"""Data files: `.npz` archives with one array for each graph input, and `labels` where they are known.

A file is checked before anything is allocated from what it claims, and its arrays are checked against the model before
anything is computed from them.
"""

from __future__ import annotations

import difflib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from intlower.compiler.errors import DataError

Array = NDArray[Any]
Shape = tuple[int | None, ...]

LABELS = "labels"
LARGEST_FILE = 8 << 30  # bytes of all arrays together, unpacked
# Deflate packs 1032 to 1 at best, and real data far less; a small file of zeros is nothing to worry about.
LARGEST_RATIO, UNSUSPECTED = 100, 1 << 26

_MAKE = "write it with numpy.savez(path, NAME=array, labels=array)"
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_data(path: Path, *, limit: int = LARGEST_FILE) -> dict[str, Array]:
    """Return the arrays of an `.npz` file, or of all `.npz` files of a folder, joined along the batch.

    Args:
        path: of the file, or of the folder, whose files are taken in the order of their names.
        limit: bytes that all arrays together may take.

    Raises:
        DataError: there is no such file, it is not an archive of plain arrays, it claims sizes that it does not have or
            that pass the limit, or the files of the folder do not fit each other.
    """
    if not path.is_dir():
        return read_npz(path, limit=limit)
    files = sorted(path.glob("*.npz"))
    if not files:
        raise DataError(f"{path}: the folder has no .npz file", _MAKE)
    parts: list[dict[str, Array]] = []
    for file in files:
        part = read_npz(file, limit=limit)
        limit -= sum(array.nbytes for array in part.values())
        parts.append(part)
        for name in sorted(set(parts[0]) ^ set(part)):
            raise DataError(
                f"{file}: {name!r} is not in every file of the folder",
                "give each file the same names",
            )
        for name, array in part.items():
            first = parts[0][name]
            if (
                array.ndim == 0
                or array.shape[1:] != first.shape[1:]
                or array.dtype != first.dtype
            ):
                raise DataError(
                    f"{file}: {name!r} is {_described(array)}, but {_described(first)} "
                    f"in {files[0].name}",
                    "arrays of one name must agree in type and in all sizes but the batch",
                )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def read_npz(path: Path, *, limit: int = LARGEST_FILE) -> dict[str, Array]:
    """Return the arrays of one `.npz` file; see `read_data`."""
    arrays: dict[str, Array] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name == member.filename or name in arrays:
                    raise DataError(
                        f"{path}: {member.filename!r} is not an array, or is there twice", _MAKE
                    )
                if member.file_size > limit:
                    raise DataError(
                        f"{path}: {name!r} takes {member.file_size:_} bytes, past the limit of "
                        f"{limit:_} that are left for it",
                        "split the data into several runs",
                    )
                if member.file_size > UNSUSPECTED + LARGEST_RATIO * member.compress_size:
                    raise DataError(
                        f"{path}: {name!r} unpacks to {member.file_size:_} bytes, over "
                        f"{LARGEST_RATIO} times as many as it takes",
                        "store such data uncompressed, with numpy.savez",
                    )
                limit -= member.file_size
                with archive.open(member) as stream:
                    arrays[name] = _read_array(stream, member.file_size, f"{path}: {name!r}")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", "check the path") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        ValueError,
        RuntimeError,  # an encrypted member
        NotImplementedError,  # a compression that the zip module does not know
    ) as error:
        raise DataError(f"{path} is not a readable .npz file ({error})", _MAKE) from None
    if not arrays:
        raise DataError(f"{path}: the file holds no arrays", _MAKE)
    return arrays


def _read_array(stream: IO[bytes], size_bytes: int, where: str) -> Array:
    """Return one member; the memory is taken only once the header agrees with the member's size."""
    version = npy.read_magic(stream)
    if version not in _HEADERS:
        raise DataError(f"{where} has .npy version {version}, not 1.0 or 2.0", _MAKE)
    shape, fortran_order, dtype = _HEADERS[version](stream)
    if dtype.hasobject or dtype.fields is not None or dtype.kind not in "biuf":
        raise DataError(f"{where} has type {dtype}, not plain numbers", _MAKE)
    count = 1
    for size in shape:
        count *= size
    if min(shape, default=1) < 0 or count * dtype.itemsize != size_bytes - stream.tell():
        raise DataError(f"{where} is not as long as its shape {list(shape)} says", _MAKE)
    array = np.empty(count, dtype)
    view = array.view(np.uint8)
    filled = 0
    while filled < len(view):
        chunk = stream.read(min(len(view) - filled, 1 << 24))
        if not chunk:
            raise EOFError(f"{where} ends early")
        view[filled : filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
        filled += len(chunk)
    shaped = array.reshape(shape[::-1]).T if fortran_order else array.reshape(shape)
    return np.asarray(shaped, dtype.newbyteorder("="), order="C")


def fit_inputs(
    arrays: Mapping[str, Array],
    expected: Mapping[str, Shape],
    source: str,
    *,
    others: Collection[str] = (LABELS,),
    codes: Mapping[str, np.dtype[Any]] | None = None,
) -> dict[str, Array]:
    """Return the arrays of a model's inputs, proved to fit.

    Args:
        arrays: by name.
        expected: shape of each input, None where any size will do (the batch).
        source: where the arrays are from, for messages.
        others: further names that may be there; they are left out.
        codes: type of each input's integer codes, where codes may stand in for reals.

    Returns:
        One array for each input, in the model's order, all with the same first size: float32, or codes.

    Raises:
        DataError: a name is missing or not expected, a shape or a type does not fit, a number is not finite, there are
            no samples, or not equally many of each.
    """
    listed = ", ".join(repr(name) for name in expected)
    for name in arrays:
        if name not in expected and name not in others:
            close = difflib.get_close_matches(name, expected, 1)
            meant = f"did you mean {close[0]!r}? " if close else ""
            raise DataError(
                f"{source}: {name!r} is not an input of the model",
                f"{meant}the model's inputs: {listed}",
            )
    for name in expected:
        if name not in arrays:
            present = ", ".join(repr(other) for other in arrays)
            raise DataError(
                f"{source}: the model's input {name!r} is missing",
                f"store an array under that name; the file has {present or 'none'}",
            )
    fitted = {
        name: _fit_input(arrays[name], shape, f"{source}: {name!r}", (codes or {}).get(name))
        for name, shape in expected.items()
    }
    counts = {name: array.shape[0] for name, array in fitted.items()}
    if len(set(counts.values())) > 1:
        raise DataError(
            f"{source}: the inputs have different numbers of samples: {counts}",
            "give every input the same first size",
        )
    return fitted


def fit_samples(arrays: Mapping[str, Array], source: str) -> dict[str, Array]:
    """Return a file's arrays but the labels, proved to be samples of some model: float32, finite, equally many.

    Raises:
        DataError: see `fit_inputs`.
    """
    samples = {name: array for name, array in arrays.items() if name != LABELS}
    any_size: dict[str, Shape] = {
        name: (None,) * max(array.ndim, 1) for name, array in samples.items()
    }
    return fit_inputs(samples, any_size, source)


def _fit_input(array: Array, expected: Shape, where: str, code: np.dtype[Any] | None) -> Array:
    if len(array.shape) != len(expected) or any(
        size is not None and size != actual
        for size, actual in zip(expected[1:], array.shape[1:], strict=True)
    ):
        wanted = ["N" if size is None else size for size in (None, *expected[1:])]
        raise DataError(
            f"{where} has shape {list(array.shape)}, not [{', '.join(map(str, wanted))}]",
            _shape_hint(array.shape, expected),
        )
    if array.shape[0] == 0:
        raise DataError(f"{where} holds no samples", "store at least one sample")
    if code is not None and array.dtype == code:
        return array
    if array.dtype.kind != "f":
        raise DataError(
            f"{where} has type {array.dtype}, not float32",
            "prepare the data as in training, then convert it with array.astype('float32')",
        )
    with np.errstate(over="ignore"):  # a float64 past float32 becomes infinite, refused below
        values = array.astype(np.float32, copy=False)
    finite = np.isfinite(values)
    if not finite.all():
        index = [int(i) for i in np.unravel_index(int(np.argmin(finite)), finite.shape)]
        raise DataError(
            f"{where} is {values[tuple(index)]} at {index}",
            "remove samples with missing or infinite values",
        )
    return values


def _shape_hint(actual: tuple[int, ...], expected: Shape) -> str:
    sample = list(expected[1:])
    if list(actual) == sample:
        return "add the batch axis: array[numpy.newaxis]"
    if len(actual) == 4 and len(expected) == 4 and [actual[3], *actual[1:3]] == sample:
        return "the model takes channels first: array.transpose(0, 3, 1, 2)"
    return "store the samples as the model takes them, the batch first"


def fit_labels(arrays: Mapping[str, Array], count: int, source: str) -> NDArray[np.int64]:
    """Return the class of each sample: int64 [count].

    Args:
        arrays: by name.
        count: number of samples.
        source: where the arrays are from, for messages.

    Raises:
        DataError: there are no labels, or they are not `count` integers from 0 on.
    """
    if LABELS not in arrays:
        raise DataError(
            f"{source}: there is no array {LABELS!r}",
            "store the class of each sample, counted from 0, under that name",
        )
    labels = arrays[LABELS]
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{source}: {LABELS!r} is {_described(labels)}, not one integer for each of "
            f"{count} samples",
            "store an integer array with one class number for each sample",
        )
    if int(labels.min()) < 0:
        raise DataError(f"{source}: {LABELS!r} has negative numbers", "count classes from 0")
    return labels.astype(np.int64)


def write_npz(path: Path, arrays: Mapping[str, Array], compress: bool = False) -> None:
    """Write arrays as an `.npz` file: all of it or nothing.

    Args:
        path: of the file.
        arrays: by name.
        compress: whether they are deflated.

    Raises:
        OSError: the file cannot be written.
    """
    try:
        _write_atomically(path, arrays, compress)
    except OSError as error:  # name the file that was asked for, not the temporary one
        raise OSError(error.errno, error.strerror, str(path)) from error


def _write_atomically(path: Path, arrays: Mapping[str, Array], compress: bool) -> None:
    form = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    target = path.resolve()  # a link is followed
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, suffix=".npz")
    try:
        with (
            os.fdopen(descriptor, "wb") as stream,
            zipfile.ZipFile(stream, "w", form) as archive,
        ):
            for name, array in arrays.items():
                # A fixed date: the same arrays give the same bytes.
                member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
                member.compress_type = form
                with archive.open(member, "w", force_zip64=True) as entry:
                    npy.write_array(entry, np.asarray(array), allow_pickle=False)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """Return the process's mask for new files; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _described(array: Array) -> str:
    return f"{array.dtype}{list(array.shape)}"
