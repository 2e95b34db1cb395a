"""A .tflite model under construction: tensors, constant buffers, operators.

Source of slots and numbers: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.export.tflite.flatbuffer import Scalar, Table, Vector, encode

SCHEMA_VERSION = 3
FILE_IDENTIFIER = b"TFL3"

# `force_align` of Buffer.data: runtimes read constants in place, with vector loads.
BUFFER_ALIGNMENT = 16

# TensorType of a NumPy type.
_TENSOR_TYPES = {"int32": 2, "int64": 4, "int16": 7, "int8": 9}

# The last number that fits the field in which old readers look for an operator.
_PLACEHOLDER = 127


class Builtin(enum.IntEnum):
    """BuiltinOperator."""

    ADD = 0
    AVERAGE_POOL_2D = 1
    CONCATENATION = 2
    CONV_2D = 3
    DEPTHWISE_CONV_2D = 4
    MAX_POOL_2D = 17
    MUL = 18
    RESHAPE = 22
    SOFTMAX = 25
    PAD = 34
    GATHER = 36
    TRANSPOSE = 39
    STRIDED_SLICE = 45
    CAST = 53
    MAXIMUM = 55
    MINIMUM = 57
    PADV2 = 60
    QUANTIZE = 114
    BATCH_MATMUL = 126


class Activation(enum.IntEnum):
    """ActivationFunctionType, those that are exact clamps of ours."""

    NONE = 0
    RELU = 1
    RELU6 = 3


class Padding(enum.IntEnum):
    """Padding of windows."""

    SAME = 0
    VALID = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """QuantizationParameters of a tensor.

    Attributes:
        scale: float32 [1] or [C].
        zero_point: of all channels.
        axis: of the channels, where there are several.
    """

    scale: NDArray[np.float32]
    zero_point: int
    axis: int = 0

    def table(self) -> Table:
        """Return the schema's table."""
        zero_points = np.full(self.scale.shape, self.zero_point, np.int64)
        return Table(
            7, {2: Vector(self.scale), 3: Vector(zero_points), 6: Scalar("int32", self.axis)}
        )


@dataclass(frozen=True, slots=True)
class Options:
    """The options of an operator.

    Attributes:
        kind: number in the union BuiltinOptions.
        table: the options themselves.
    """

    kind: int
    table: Table


def options(kind: int, slots: int, fields: Mapping[int, Scalar] | None = None) -> Options:
    """Return options of numbers only."""
    return Options(kind, Table(slots, dict(fields or {})))


class ModelWriter:
    """Collects a model of one subgraph."""

    def __init__(self) -> None:
        self._tensors: list[Table] = []
        self._indices: dict[str, int] = {}
        self._buffers: list[Table] = [Table(3, {})]  # buffer 0 is that of tensors without data
        self._codes: dict[tuple[Builtin, int], int] = {}
        self._operators: list[Table] = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int | None],
        dtype: Any,
        quantization: Quantization | None,
        data: NDArray[Any] | None = None,
    ) -> int:
        """Add a tensor; return its index.

        Args:
            name: made unique by `unique`.
            shape: a free batch, None, is stored as 1, with -1 in the signature.
            dtype: int8, int16, int32 or int64.
            quantization: None for shapes and the like.
            data: the codes of a constant, of that type and shape.
        """
        buffer = 0
        if data is not None:
            buffer = len(self._buffers)
            raw = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self._buffers.append(Table(3, {0: Vector(raw, BUFFER_ALIGNMENT)}))
        fixed = np.array([1 if d is None else d for d in shape], np.int32)
        fields: dict[int, Any] = {
            0: Vector(fixed),
            1: Scalar("int8", _TENSOR_TYPES[np.dtype(dtype).name]),
            2: Scalar("uint32", buffer),
            3: name,
            8: Scalar("bool", True),
        }
        if quantization is not None:
            fields[4] = quantization.table()
        if None in shape:
            fields[7] = Vector(np.array([-1 if d is None else d for d in shape], np.int32))
        self._indices[name] = len(self._tensors)
        self._tensors.append(Table(11, fields))
        return self._indices[name]

    def index(self, name: str) -> int:
        """Return the index of a tensor that exists."""
        return self._indices[name]

    def has(self, name: str) -> bool:
        """Return whether there is a tensor of a name."""
        return name in self._indices

    def unique(self, name: str, reserved: Mapping[str, Any]) -> str:
        """Return a name that no tensor has and that is not reserved: the name itself where that will do."""
        candidate, number = name, 1
        while candidate in self._indices or candidate in reserved:
            number += 1
            candidate = f"{name}_{number}"
        return candidate

    def operator(
        self,
        builtin: Builtin,
        version: int,
        inputs: Sequence[int],
        output: int,
        chosen: Options | None,
    ) -> None:
        """Append an operator.

        Args:
            builtin: which.
            version: the first that has the types which are used.
            inputs: indices of tensors, constants among them.
            output: index of a tensor.
            chosen: its options, if it has any.
        """
        code = self._codes.setdefault((builtin, version), len(self._codes))
        fields: dict[int, Any] = {
            0: Scalar("uint32", code),
            1: Vector(np.array(inputs, np.int32)),
            2: Vector(np.array([output], np.int32)),
        }
        if chosen is not None:
            fields |= {3: Scalar("uint8", chosen.kind), 4: chosen.table}
        self._operators.append(Table(14, fields))

    def encode(self, inputs: Sequence[str], outputs: Sequence[str], description: str) -> bytes:
        """Return the file.

        Args:
            inputs: names of tensors that the caller supplies; also those of the signature `serving_default`.
            outputs: names of tensors that the caller reads; alike.
            description: of the model.
        """
        codes = [
            Table(
                4,
                {
                    0: Scalar("int8", min(int(builtin), _PLACEHOLDER)),
                    2: Scalar("int32", version, 1),
                    3: Scalar("int32", int(builtin)),
                },
            )
            for builtin, version in self._codes
        ]
        subgraph = Table(
            6,
            {
                0: self._tensors,
                1: Vector(np.array([self._indices[name] for name in inputs], np.int32)),
                2: Vector(np.array([self._indices[name] for name in outputs], np.int32)),
                3: self._operators,
                4: "main",
            },
        )
        signature = Table(
            5, {0: self._maps(inputs), 1: self._maps(outputs), 2: "serving_default"}
        )
        model = Table(
            10,
            {
                0: Scalar("uint32", SCHEMA_VERSION),
                1: codes,
                2: [subgraph],
                3: description,
                4: self._buffers,
                7: [signature],
            },
        )
        return encode(model, FILE_IDENTIFIER)

    def _maps(self, names: Sequence[str]) -> list[Table]:
        return [Table(2, {0: name, 1: Scalar("uint32", self._indices[name])}) for name in names]
