"""The operators of the float graph: typed attributes and shape rules. Their meaning is in `evaluate.py`.

Names, attributes and layouts are ONNX's (activations NCHW, weights OIHW), with what exporters vary made canonical by the
importer: explicit pads, no auto_pad, attributes and constant inputs alike as fields. A shape's axis 0 is None where the
batch is free; every other dimension is known.
"""

from __future__ import annotations

from intlower.compiler.operators.elementwise import (
    Activation,
    Add,
    Bound,
    ChannelClip,
    Clip,
    Identity,
    Relu,
    Softmax,
    activation_bounds,
)
from intlower.compiler.operators.linear import (
    BatchNormalization,
    Conv,
    Gemm,
    MatMul,
)
from intlower.compiler.operators.movement import (
    Concat,
    Flatten,
    Pad,
    Reshape,
    Slice,
)
from intlower.compiler.operators.pooling import (
    AveragePool,
    GlobalAveragePool,
    MaxPool,
)
from intlower.compiler.operators.shapes import (
    Operator,
    Shape,
    broadcast,
    known,
    normalize_axis,
    window_size,
)

__all__ = [
    "Activation",
    "Add",
    "AnyOperator",
    "AveragePool",
    "BatchNormalization",
    "Bound",
    "ChannelClip",
    "Clip",
    "Concat",
    "Conv",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "Identity",
    "MatMul",
    "MaxPool",
    "Operator",
    "Pad",
    "Relu",
    "Reshape",
    "Shape",
    "Slice",
    "Softmax",
    "activation_bounds",
    "broadcast",
    "known",
    "normalize_axis",
    "window_size",
]

AnyOperator = (
    Conv
    | Gemm
    | MatMul
    | BatchNormalization
    | Relu
    | Clip
    | Add
    | AveragePool
    | MaxPool
    | GlobalAveragePool
    | Flatten
    | Reshape
    | Softmax
    | Concat
    | Pad
    | Slice
    | Identity
)
