"""From an operator to the function that computes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import torch
import torch.nn.functional as functional

from intlower.compiler.evaluate.elementwise import apply_activation, apply_function
from intlower.compiler.evaluate.linear import batch_normalization, conv, conv_transpose
from intlower.compiler.evaluate.movement import (
    concat,
    depth_to_space,
    pad,
    slice_,
    space_to_depth,
)
from intlower.compiler.evaluate.normalization import (
    instance_normalization,
    layer_normalization,
    local_response_normalization,
)
from intlower.compiler.evaluate.pooling import average_pool, max_pool
from intlower.compiler.evaluate.resize import resize
from intlower.compiler.operators import (
    LRN,
    Add,
    AnyOperator,
    AveragePool,
    BatchNormalization,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    DepthToSpace,
    Div,
    Elementwise,
    Flatten,
    Gather,
    Gemm,
    GlobalAveragePool,
    Identity,
    InstanceNormalization,
    LayerNormalization,
    MatMul,
    Maximum,
    MaxPool,
    Minimum,
    Mul,
    Pad,
    PRelu,
    Reduce,
    Reduction,
    Relu,
    Reshape,
    Resize,
    Slice,
    Softmax,
    SpaceToDepth,
    Sub,
    Transpose,
    known,
)

_Tensors = Sequence[torch.Tensor]


def apply_operator(operator: AnyOperator, inputs: _Tensors) -> torch.Tensor:
    """Return what an operator computes, before any fused activation.

    Args:
        operator: the operator.
        inputs: its operands, as its class documents them, all of one floating type.
    """
    x = inputs[0]
    match operator:
        case Conv():
            return conv(operator, *inputs)
        case ConvTranspose():
            return conv_transpose(operator, *inputs)
        case Gemm():
            return functional.linear(x, *inputs[1:])
        case MatMul():
            return x @ inputs[1]
        case BatchNormalization():
            return batch_normalization(operator, *inputs)
        case InstanceNormalization():
            return instance_normalization(operator, *inputs)
        case LayerNormalization():
            return layer_normalization(operator, *inputs)
        case LRN():
            return local_response_normalization(operator, x)
        case Relu() | Clip():
            return apply_activation(operator, x)
        case Elementwise():
            return apply_function(operator, x)
        case Softmax():
            return torch.softmax(x, operator.axis)
        case Add() | Sub() | Mul() | Div() | Maximum() | Minimum() | PRelu():
            return _on_two(operator, x, inputs[1])
        case AveragePool():
            return average_pool(operator, x)
        case MaxPool():
            return max_pool(operator, x)
        case GlobalAveragePool():
            return x.mean((2, 3), keepdim=True)
        case Reduce():
            return _reduce(operator, x)
        case _:
            return _moved(operator, inputs)


def _moved(
    operator: Flatten
    | Reshape
    | Transpose
    | DepthToSpace
    | SpaceToDepth
    | Concat
    | Pad
    | Slice
    | Gather
    | Resize
    | Identity,
    inputs: _Tensors,
) -> torch.Tensor:
    x = inputs[0]
    match operator:
        case Flatten() | Reshape():
            return x.reshape([known(d) for d in operator.output_shape([tuple(x.shape)])])
        case Transpose():
            return x.permute(operator.permutation)
        case DepthToSpace():
            return depth_to_space(operator, x)
        case SpaceToDepth():
            return space_to_depth(operator, x)
        case Concat():
            return concat(operator, inputs)
        case Pad():
            return pad(operator, x)
        case Slice():
            return slice_(operator, x)
        case Gather():
            return x.index_select(operator.axis, torch.tensor(operator.indices))
        case Resize():
            return resize(operator, x)
        case Identity():
            return x
        case _:
            assert_never(operator)


def _on_two(
    operator: Add | Sub | Mul | Div | Maximum | Minimum | PRelu,
    a: torch.Tensor,
    b: torch.Tensor,
) -> torch.Tensor:
    match operator:
        case Add():
            return a + b
        case Sub():
            return a - b
        case Mul():
            return a * b
        case Div(no_nan=no_nan):
            return torch.where(b == 0, 0.0, a / b) if no_nan else a / b
        case Maximum():
            return torch.maximum(a, b)
        case Minimum():
            return torch.minimum(a, b)
        case PRelu():
            return torch.where(a >= 0, a, a * b)
        case _:
            assert_never(operator)


def _reduce(operator: Reduce, x: torch.Tensor) -> torch.Tensor:
    if not operator.axes:
        return x
    match operator.reduction:
        case Reduction.MEAN:
            return x.mean(operator.axes, keepdim=True)
        case Reduction.SUM:
            return x.sum(operator.axes, keepdim=True)
        case Reduction.MAX:
            return x.amax(operator.axes, keepdim=True)
        case Reduction.MIN:
            return x.amin(operator.axes, keepdim=True)
        case _:
            assert_never(operator.reduction)
