"""Small networks of the blocks of today, written here in torch, exported by both of its exporters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import onnx
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from benchmarks.zoo.model import ZooModel

_PACKAGE = "torch"


def conv(
    inputs: int,
    outputs: int,
    kernel: int,
    activation: type[nn.Module] | None = nn.ReLU,
    **options: int,
) -> nn.Sequential:
    """Return a padded convolution, its batch norm and an activation."""
    padding = kernel // 2 * options.get("dilation", 1)
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False, **options),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *(() if activation is None else (activation(),)))


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int, gate: type[nn.Module], inner: type[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // 4, 1),
            inner(),
            nn.Conv2d(channels // 4, channels, 1),
            gate(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated channels."""
        gated: Tensor = x * self.layers(x)
        return gated


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, gate, projection; a shortcut where sizes fit (MobileNetV3, EfficientNet)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int,
        activation: type[nn.Module], gate: type[nn.Module], inner: type[nn.Module],
    ) -> None:  # fmt: skip
        super().__init__()
        wide = 4 * inputs
        self.shortcut = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            conv(inputs, wide, 1, activation),
            conv(wide, wide, kernel, activation, stride=stride, groups=wide),
            Gate(wide, gate, inner),
            conv(wide, outputs, 1, None),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y: Tensor = self.layers(x)
        return x + y if self.shortcut else y


class Bottleneck(nn.Module):
    """Grouped convolution between two of one pixel, a gate, a shortcut (RegNetY)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.shortcut = conv(inputs, outputs, 1, None, stride=stride)
        self.layers = nn.Sequential(
            conv(inputs, outputs, 1),
            conv(outputs, outputs, 3, stride=stride, groups=outputs // 8),
            Gate(outputs, nn.Sigmoid, nn.ReLU),
            conv(outputs, outputs, 1, None),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        return functional.relu(self.shortcut(x) + self.layers(x))


class ShuffleUnit(nn.Module):
    """Half of the channels convolved, then the halves interleaved (ShuffleNetV2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(
            conv(half, half, 1), conv(half, half, 3, None, groups=half), conv(half, half, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        kept, convolved = x.chunk(2, 1)
        y = torch.cat([kept, self.branch(convolved)], 1)
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class ConvNextBlock(nn.Module):
    """Depthwise 7x7, layer norm over channels last, two dense layers with GELU, a learned scale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.expand, self.project = (
            nn.Linear(channels, 4 * channels),
            nn.Linear(4 * channels, channels),
        )
        self.scale = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.project(functional.gelu(self.expand(y)))
        return x + y.permute(0, 3, 1, 2)


class Yolo(nn.Module):
    """A backbone with split and joined features, a pyramid, and heads that decode boxes."""

    def __init__(self) -> None:
        super().__init__()
        act = nn.SiLU
        self.stem = nn.Sequential(conv(3, 16, 3, act, stride=2), conv(16, 32, 3, act, stride=2))
        self.mix = nn.Sequential(conv(16, 16, 1, act), conv(16, 16, 3, act))
        self.join = conv(48, 32, 1, act)
        self.deeper = conv(32, 32, 3, act, stride=2)
        self.pooled = conv(64, 32, 1, act)
        self.raised = conv(64, 32, 3, act)
        self.heads = nn.ModuleList(nn.Conv2d(32, 3 * 9, 1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Return boxes and scores of both levels: [N, anchors, 9]."""
        first, second = self.stem(x).split(16, 1)
        fine = self.join(torch.cat([first, second, second + self.mix(second)], 1))
        y = self.deeper(fine)
        y = self.pooled(torch.cat([y, functional.max_pool2d(y, 5, 1, 2)], 1))
        up = functional.interpolate(y, scale_factor=2.0, mode="nearest")
        fine = self.raised(torch.cat([up, fine], 1))
        found = []
        for level, head, step in ((fine, self.heads[0], 4.0), (y, self.heads[1], 8.0)):
            z = head(level)
            z = z.view(-1, 3, 9, z.shape[2], z.shape[3]).permute(0, 1, 3, 4, 2).sigmoid()
            centres, sizes, scores = z.split((2, 2, 5), -1)
            z = torch.cat([(centres * 2 - 0.5) * step, (sizes * 2) ** 2 * step, scores], -1)
            found.append(z.reshape(z.shape[0], -1, 9))
        return torch.cat(found, 1)


class UNet(nn.Module):
    """Two levels down and up: one raised by a transposed convolution, one by bilinear interpolation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = conv(3, 16, 3), conv(16, 32, 3), conv(32, 64, 3)
        self.up = nn.ConvTranspose2d(64, 32, 2, 2)
        self.joined, self.last = conv(64, 32, 3), conv(48, 16, 3)
        self.out = nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the probability of two classes for each pixel."""
        first = self.first(x)
        second = self.second(functional.max_pool2d(first, 2))
        y = self.third(functional.avg_pool2d(second, 3, 2, 1))
        y = self.joined(torch.cat([self.up(y), second], 1))
        y = functional.interpolate(
            y, size=first.shape[2:], mode="bilinear", align_corners=False
        )
        return self.out(self.last(torch.cat([y, first], 1))).sigmoid()


class Attention(nn.Module):
    """A transformer's encoder layer, norms in front."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head = heads, width // heads
        self.norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.project = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens after attention and the dense layers."""
        n, tokens, width = x.shape
        qkv = self.qkv(self.norm(x)).reshape(n, tokens, 3, self.heads, self.head)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * self.head**-0.5).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, tokens, width))
        y: Tensor = self.project(functional.gelu(self.expand(self.second_norm(x))))
        return x + y


class VisionTransformer(nn.Module):
    """Patches of 8 pixels, a class token, two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 48, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 48) * 0.1)
        self.position = nn.Parameter(torch.randn(1, 17, 48) * 0.1)
        self.layers = nn.Sequential(Attention(48, 3), Attention(48, 3))
        self.norm, self.classify = nn.LayerNorm(48), nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of 10 classes."""
        y = self.patches(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(y.shape[0], -1, -1), y], 1) + self.position
        scores: Tensor = self.classify(self.norm(self.layers(y))[:, 0])
        return scores


def classifier(channels: int, *blocks: nn.Module) -> nn.Sequential:
    """Return blocks between a stem of 16 channels and a classifier of 10."""
    stem = conv(3, 16, 3, nn.ReLU, stride=2)
    return nn.Sequential(
        stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)
    )


def _inverted(*functions: type[nn.Module]) -> nn.Module:
    sizes = ((16, 16, 3, 1), (16, 24, 5, 2), (24, 24, 5, 1))
    return classifier(24, *(InvertedResidual(*size, *functions) for size in sizes))


NETWORKS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {
        "mobilenetv3": lambda: _inverted(nn.Hardswish, nn.Hardsigmoid, nn.ReLU),
        "efficientnet": lambda: _inverted(nn.SiLU, nn.Sigmoid, nn.SiLU),
        "regnety": lambda: classifier(48, Bottleneck(16, 24, 2), Bottleneck(24, 48, 2)),
        "shufflenetv2": lambda: classifier(16, ShuffleUnit(16), ShuffleUnit(16)),
        "convnext": lambda: classifier(16, ConvNextBlock(16), ConvNextBlock(16)),
        "yolo": Yolo,
        "unet": UNet,
        "vit": VisionTransformer,
    }
)


def build(name: str, *, dynamo: bool) -> onnx.ModelProto:
    """Return one of the networks as ONNX, of images of 32 pixels, with seeded weights."""
    from benchmarks.zoo.weights import export, settle

    shape = (3, 32, 32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = settle(NETWORKS[name](), shape)
    return export(network, shape, opset=18 if dynamo else 17, dynamo=dynamo)


def _entry(name: str, dynamo: bool) -> ZooModel:
    exporter = "dynamo" if dynamo else "torchscript"
    return ZooModel(
        name=f"torch-{name}-{exporter}",
        package=_PACKAGE,
        origin=f"written here, random weights, exporter {exporter}, 32x32",
        make=lambda: build(name, dynamo=dynamo),
    )


def torch_models() -> tuple[ZooModel, ...]:
    """Return the zoo's networks that are written here."""
    return tuple(_entry(name, dynamo) for name in NETWORKS for dynamo in (False, True))
