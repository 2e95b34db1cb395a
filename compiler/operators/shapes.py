"""What the operators share: the shapes of tensors, and the rules for axes, windows and broadcasting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from intlower.compiler.errors import InvalidGraph

Shape = tuple[int | None, ...]

# No window is longer, and none moves further at once: as many elements as a sample's tensor may have.
LARGEST_STEP = 1 << 28


class Operator(Protocol):
    """What every operator gives: the shape of its output from those of its inputs."""

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the output's shape; raise InvalidGraph where the inputs do not fit."""
        ...


def require_arity(name: str, inputs: Sequence[Shape], *allowed: int) -> None:
    """Raise InvalidGraph unless the operator has one of the allowed numbers of inputs."""
    if len(inputs) not in allowed:
        raise InvalidGraph(
            f"{name} takes {' or '.join(map(str, allowed))} inputs, not {len(inputs)}"
        )


def require_positive(name: str, *numbers: int) -> None:
    """Raise InvalidGraph unless every size, stride, dilation and group count is positive, and not past any image."""
    if any(number < 1 for number in numbers):
        raise InvalidGraph(f"{name}: sizes, strides, dilations and groups must be positive")
    if max(numbers) > LARGEST_STEP:
        raise InvalidGraph(
            f"{name}: a size, stride, dilation or group count of {max(numbers)} is past {LARGEST_STEP}"
        )


def require_pads(name: str, pads: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Return the pads; raise InvalidGraph where one is negative."""
    if any(pad < 0 for pad in pads):
        raise InvalidGraph(f"{name}: negative pads {pads}")
    return pads


def known(dimension: int | None) -> int:
    """Return a dimension that must not be the free batch."""
    if dimension is None:
        raise InvalidGraph("the batch dimension cannot take part in this operator")
    return dimension


def normalize_axis(axis: int, rank: int) -> int:
    """Return an axis counted from the front.

    >>> normalize_axis(-1, 4)
    3
    """
    if not -rank <= axis < rank:
        raise InvalidGraph(f"axis {axis} is outside a tensor of rank {rank}")
    return axis % rank


def window_size(
    size: int, kernel: int, stride: int, begin: int, end: int, dilation: int, ceil_mode: bool
) -> int:
    """Return how many windows fit along one axis (ONNX Conv and pooling).

    With `ceil_mode` a last window may hang over the end, but must start inside the input or its
    begin padding (the rule of ONNX opset 19 and of PyTorch).

    >>> window_size(5, 2, 2, 0, 0, 1, False), window_size(5, 2, 2, 0, 0, 1, True)
    (2, 3)
    """
    extent = dilation * (kernel - 1) + 1
    room = size + begin + end - extent
    if room < 0:
        raise InvalidGraph(
            f"a window of extent {extent} does not fit into {size}+{begin}+{end}"
        )
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + begin else count


def broadcast(a: Shape, b: Shape) -> Shape:
    """Return the common shape of two operands; a free batch only meets itself or 1.

    >>> broadcast((None, 8, 4, 4), (8, 1, 1))
    (None, 8, 4, 4)
    """
    rank = max(len(a), len(b))
    result: list[int | None] = []
    for left, right in zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True):
        if left == right or right == 1:
            result.append(left)
        elif left == 1:
            result.append(right)
        else:
            raise InvalidGraph(f"shapes {a} and {b} do not broadcast")
    if None in result[1:]:
        raise InvalidGraph(f"broadcasting {a} and {b} moves the batch from axis 0")
    return tuple(result)
