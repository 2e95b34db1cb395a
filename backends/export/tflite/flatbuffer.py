"""A flatbuffer from nested values: what of FlatBuffers' wire format a .tflite file needs.

Source: flatbuffers.dev/internals; the writer underneath is the public package `flatbuffers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

# Scalars of a table: the name of the builder's method for a slot.
_SCALARS = {
    "bool": "PrependBoolSlot",
    "int8": "PrependInt8Slot",
    "uint8": "PrependUint8Slot",
    "int32": "PrependInt32Slot",
    "uint32": "PrependUint32Slot",
    "float32": "PrependFloat32Slot",
}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number in a table.

    Attributes:
        kind: `bool`, `int8`, `uint8`, `int32`, `uint32` or `float32`.
        value: the number.
        default: the schema's, which is not stored.
    """

    kind: str
    value: float
    default: float = 0


@dataclass(frozen=True, slots=True)
class Vector:
    """Numbers one after another.

    Attributes:
        array: of one dimension.
        alignment: of the first number in the file, in bytes; 0 for that of its type.
    """

    array: NDArray[Any]
    alignment: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the schema.

    Attributes:
        slots: how many fields the schema has.
        fields: by slot; those that are absent have their default.
    """

    slots: int
    fields: Mapping[int, Scalar | Vector | str | Table | Sequence[Table]]


def encode(root: Table, identifier: bytes) -> bytes:
    """Return the bytes of a root table.

    Args:
        root: with everything that it holds.
        identifier: four bytes that say which schema it is.
    """
    builder = flatbuffers.Builder(1024)
    builder.Finish(_table(builder, root), file_identifier=identifier)
    return bytes(builder.Output())


def _table(builder: Any, table: Table) -> int:
    offsets = {
        slot: _object(builder, value)
        for slot, value in table.fields.items()
        if not isinstance(value, Scalar)
    }
    builder.StartObject(table.slots)
    for slot, value in table.fields.items():
        if isinstance(value, Scalar):
            getattr(builder, _SCALARS[value.kind])(slot, value.value, value.default)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, offsets[slot], 0)
    return int(builder.EndObject())


def _object(builder: Any, value: Vector | str | Table | Sequence[Table]) -> int:
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, Table):
        return _table(builder, value)
    if isinstance(value, Vector):
        return _vector(builder, value)
    offsets = [_table(builder, table) for table in value]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _vector(builder: Any, vector: Vector) -> int:
    """Write a vector at once: a file of many megabytes is not written number by number."""
    array = np.ascontiguousarray(vector.array)
    data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    size = array.dtype.itemsize
    builder.StartVector(size, array.size, max(size, vector.alignment))
    head = builder.Head() - len(data)
    builder.head = head
    builder.Bytes[head : head + len(data)] = data
    return int(builder.EndVector())
