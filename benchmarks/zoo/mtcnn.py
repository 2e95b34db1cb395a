"""The three networks of MTCNN, in the names of the weights that facenet-pytorch ships."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor, nn

# A convolution without padding: outputs, kernel, and the kernel of the pool behind it, of stride 2; 0 for none.
Stage = tuple[int, int, int]


class Cascade(nn.Module):
    """Convolutions with PReLU and pools that round sizes up, then two or three heads, the first a softmax.

    Args:
        stages: the convolutions.
        hidden: (inputs, outputs) of the dense layer before the heads; None: heads are convolutions of one pixel.
        heads: outputs of each head.
    """

    def __init__(
        self, stages: tuple[Stage, ...], hidden: tuple[int, int] | None, heads: tuple[int, ...]
    ) -> None:
        super().__init__()
        channels = 3
        self.pools = nn.ModuleList()
        for index, (outputs, kernel, pool) in enumerate(stages, 1):
            setattr(self, f"conv{index}", nn.Conv2d(channels, outputs, kernel))
            setattr(self, f"prelu{index}", nn.PReLU(outputs))
            self.pools.append(nn.MaxPool2d(pool, 2, ceil_mode=True) if pool else nn.Identity())
            channels = outputs
        self.count = len(stages)
        self.dense = 0
        position = self.count + 1
        if hidden is not None:
            self.dense, position = position, position + 1
            setattr(self, f"dense{self.dense}", nn.Linear(*hidden))
            setattr(self, f"prelu{self.dense}", nn.PReLU(hidden[1]))
        prefix = "conv" if hidden is None else "dense"
        self.heads = tuple(f"{prefix}{position}_{i}" for i in range(1, len(heads) + 1))
        for name, outputs in zip(self.heads, heads, strict=True):
            head = (
                nn.Conv2d(channels, outputs, 1)
                if hidden is None
                else nn.Linear(hidden[1], outputs)
            )
            setattr(self, name, head)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the probability of a face and the regressions."""
        for index, pool in enumerate(self.pools, 1):
            x = getattr(self, f"prelu{index}")(getattr(self, f"conv{index}")(x))
            x = pool(x)
        if self.dense:
            x = x.permute(0, 3, 2, 1).flatten(1)  # Caffe's order of the elements
            x = getattr(self, f"prelu{self.dense}")(getattr(self, f"dense{self.dense}")(x))
        first, *others = (getattr(self, name)(x) for name in self.heads)
        return first.softmax(1), *others


# name: (the network, height and width of its image)
NETWORKS: Mapping[str, tuple[Callable[[], nn.Module], int]] = MappingProxyType(
    {
        "pnet": (lambda: Cascade(((10, 3, 2), (16, 3, 0), (32, 3, 0)), None, (2, 4)), 48),
        "rnet": (
            lambda: Cascade(((28, 3, 3), (48, 3, 3), (64, 2, 0)), (576, 128), (2, 4)),
            24,
        ),
        "onet": (
            lambda: Cascade(
                ((32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0)), (1152, 256), (2, 4, 10)
            ),
            48,
        ),
    }
)
