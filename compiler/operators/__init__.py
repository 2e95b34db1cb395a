"""The operators of the float graph: typed attributes and shape rules. Their meaning is in `evaluate/`.

Names, attributes and layouts are ONNX's (activations NCHW, weights OIHW), with what exporters vary made canonical by the
importer: explicit pads, no auto_pad, attributes and constant inputs alike as fields. A shape's axis 0 is None where the
batch is free; every other dimension is known.
"""

from __future__ import annotations

from intlower.compiler.operators.binary import (
    Add,
    Div,
    Maximum,
    Minimum,
    Mul,
    Sub,
)
from intlower.compiler.operators.elementwise import (
    Activation,
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
    ConvTranspose,
    Gemm,
    MatMul,
)
from intlower.compiler.operators.movement import (
    Concat,
    Flatten,
    Gather,
    Pad,
    PadMode,
    Reshape,
    Slice,
)
from intlower.compiler.operators.normalization import (
    LRN,
    InstanceNormalization,
    LayerNormalization,
)
from intlower.compiler.operators.pooling import (
    AveragePool,
    GlobalAveragePool,
    MaxPool,
)
from intlower.compiler.operators.rearrangement import (
    DepthToSpace,
    SpaceToDepth,
    Transpose,
)
from intlower.compiler.operators.reduction import (
    Reduce,
    Reduction,
)
from intlower.compiler.operators.resize import (
    Coordinates,
    Interpolation,
    NearestRule,
    Resize,
)
from intlower.compiler.operators.shapes import (
    Operator,
    Shape,
    broadcast,
    known,
    normalize_axis,
    window_size,
)
from intlower.compiler.operators.unary import (
    Elementwise,
    Function,
    PRelu,
)

__all__ = [
    "LRN",
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
    "ConvTranspose",
    "Coordinates",
    "DepthToSpace",
    "Div",
    "Elementwise",
    "Flatten",
    "Function",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "Identity",
    "InstanceNormalization",
    "Interpolation",
    "LayerNormalization",
    "MatMul",
    "MaxPool",
    "Maximum",
    "Minimum",
    "Mul",
    "NearestRule",
    "Operator",
    "PRelu",
    "Pad",
    "PadMode",
    "Reduce",
    "Reduction",
    "Relu",
    "Reshape",
    "Resize",
    "Shape",
    "Slice",
    "Softmax",
    "SpaceToDepth",
    "Sub",
    "Transpose",
    "activation_bounds",
    "broadcast",
    "known",
    "normalize_axis",
    "operator_name",
    "window_size",
]

AnyOperator = (
    Conv
    | ConvTranspose
    | Gemm
    | MatMul
    | BatchNormalization
    | InstanceNormalization
    | LayerNormalization
    | LRN
    | Relu
    | Clip
    | Elementwise
    | PRelu
    | Add
    | Sub
    | Mul
    | Div
    | Maximum
    | Minimum
    | AveragePool
    | MaxPool
    | GlobalAveragePool
    | Reduce
    | Resize
    | Flatten
    | Reshape
    | Transpose
    | DepthToSpace
    | SpaceToDepth
    | Softmax
    | Concat
    | Pad
    | Slice
    | Gather
    | Identity
)


def operator_name(operator: AnyOperator) -> str:
    """Return what reports call an operator: its function or reduction where its class has several, else its class.

    >>> operator_name(Elementwise(function=Function.SIGMOID)), operator_name(Relu())
    ('Sigmoid', 'Relu')
    """
    match operator:
        case Elementwise(function=function):
            return function.value
        case Reduce(reduction=reduction):
            return reduction.value
        case _:
            return type(operator).__name__
