"""Shape rules of functions, products, resampling and rearrangement."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.operators import (
    LRN,
    Add,
    Concat,
    ConvTranspose,
    Coordinates,
    DepthToSpace,
    Elementwise,
    Function,
    InstanceNormalization,
    LayerNormalization,
    MatMul,
    Mul,
    Operator,
    Pad,
    PadMode,
    PRelu,
    Reduce,
    Reduction,
    Resize,
    Shape,
    SpaceToDepth,
    Transpose,
)

MEAN = Reduction.MEAN
REFLECT = PadMode.REFLECT
IMAGE: Shape = (None, 4, 5, 6)

ACCEPTED: list[tuple[Operator, Sequence[Shape], Shape]] = [
    (Elementwise(function=Function.SIGMOID), [IMAGE], IMAGE),
    (PRelu(), [IMAGE, (4, 1, 1)], IMAGE),
    (Mul(), [IMAGE, (None, 4, 1, 1)], IMAGE),
    (ConvTranspose(strides=(2, 2)), [IMAGE, (4, 3, 2, 2), (3,)], (None, 3, 10, 12)),
    (ConvTranspose(pads=(1, 0, 0, 2), groups=2), [IMAGE, (4, 3, 3, 3)], (None, 6, 6, 6)),
    (MatMul(), [(None, 2, 3, 4), (None, 2, 4, 5)], (None, 2, 3, 5)),
    (MatMul(), [(3, 4), (None, 4, 5)], (None, 3, 5)),
    (Transpose(permutation=(0, 2, 3, 1)), [IMAGE], (None, 5, 6, 4)),
    (DepthToSpace(block=2), [IMAGE], (None, 1, 10, 12)),
    (SpaceToDepth(block=3), [(None, 2, 3, 6)], (None, 18, 1, 2)),
    (Reduce(reduction=MEAN, axes=(-1, 1)), [IMAGE], (None, 1, 5, 1)),
    (Resize(sizes=(7, 2), scales=(1.4, 0.4)), [IMAGE], (None, 4, 7, 2)),
    (InstanceNormalization(), [IMAGE, (4,), (4,)], IMAGE),
    (LayerNormalization(axis=2), [IMAGE, (5, 6)], IMAGE),
    (LRN(size=5), [IMAGE], IMAGE),
    (Pad(pads=(0, 0, 4, 5, 0, 0, 0, 0), mode=REFLECT), [IMAGE], (None, 4, 9, 11)),
    (Concat(axis=1), [(1, 1, 3), (None, 4, 3)], (None, 5, 3)),
]


@pytest.mark.parametrize(("operator", "inputs", "expected"), ACCEPTED)
def test_shapes(operator: Operator, inputs: Sequence[Shape], expected: Shape) -> None:
    assert operator.output_shape(inputs) == expected


REFUSED: list[tuple[Operator, Sequence[Shape], str]] = [
    (Elementwise(function=Function.SIGMOID), [IMAGE, IMAGE], "takes 1 inputs"),
    (PRelu(), [IMAGE, (3, 1, 1)], "slope"),
    (PRelu(), [(4,), (3, 4)], "slope"),
    (Add(), [(None, 3), (5, 1, 3)], "moves the batch"),
    (ConvTranspose(), [IMAGE, (3, 3, 2, 2)], "do not fit input"),
    (ConvTranspose(groups=3), [IMAGE, (4, 3, 2, 2)], "3 groups"),
    (ConvTranspose(), [IMAGE, (4, 3, 2, 2), (4,)], "a bias of shape"),
    (ConvTranspose(pads=(9, 0, 0, 0)), [IMAGE, (4, 3, 2, 2)], "nothing is left"),
    (ConvTranspose(pads=(-1, 0, 0, 0)), [IMAGE, (4, 3, 2, 2)], "negative pads"),
    (ConvTranspose(strides=(0, 1)), [IMAGE, (4, 3, 2, 2)], "must be positive"),
    (ConvTranspose(), [(None, 4, 5), (4, 3, 2)], "4-d"),
    (MatMul(), [(None, 3), (4, 5)], "do not fit"),
    (MatMul(), [(2, None), (None, 2)], "do not fit"),
    (Transpose(permutation=(0, 1)), [IMAGE], "does not permute"),
    (Transpose(permutation=(1, 0, 2, 3)), [IMAGE], "moves the free batch"),
    (DepthToSpace(block=3), [IMAGE], "has no blocks"),
    (DepthToSpace(block=0), [IMAGE], "positive"),
    (SpaceToDepth(block=4), [IMAGE], "blocks of 4"),
    (Reduce(reduction=MEAN, axes=(0,)), [IMAGE], "free batch"),
    (Reduce(reduction=MEAN, axes=(1, -3)), [IMAGE], "repeat"),
    (Resize(sizes=(7,), scales=(1.0,)), [IMAGE], "do not fit"),
    (Resize(sizes=(7, 0), scales=(1.0, 1.0)), [IMAGE], "positive"),
    (Resize(sizes=(7, 2), scales=(float("nan"), 1.0)), [IMAGE], "impossible scales"),
    (
        Resize(sizes=(7, 2), scales=(1.4, 0.4), coordinates=Coordinates.TF_CROP_AND_RESIZE),
        [IMAGE],
        "needs a region",
    ),
    (InstanceNormalization(), [IMAGE, (3,), (4,)], "do not fit"),
    (LayerNormalization(axis=0), [IMAGE, IMAGE], "free batch"),
    (LayerNormalization(), [IMAGE, (5,)], "do not fit"),
    (LRN(size=0), [IMAGE], "over 0 channels"),
    (Pad(pads=(0, 0, 5, 0, 0, 0, 0, 0), mode=REFLECT), [IMAGE], "too few elements"),
    (Concat(axis=0), [(1, 4), (None, 4)], "batch"),
]


@pytest.mark.parametrize(("operator", "inputs", "message"), REFUSED)
def test_inputs_that_do_not_fit(
    operator: Operator, inputs: Sequence[Shape], message: str
) -> None:
    with pytest.raises(InvalidGraph, match=message):
        operator.output_shape(inputs)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Elementwise(function=Function.SIGMOID, alpha=1.0),
        lambda: Elementwise(function=Function.ELU, alpha=1.0, beta=1.0),
        lambda: Elementwise(function=Function.CELU),
    ],
)
def test_parameters_that_a_function_does_not_have(make: Callable[[], Elementwise]) -> None:
    with pytest.raises(InvalidGraph):
        make()
