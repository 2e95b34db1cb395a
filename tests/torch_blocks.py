"""Blocks of today's networks in torch, small, with seeded weights and statistics."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType

import onnx
import torch
import torch.nn.functional as functional
from torch import Tensor, nn


class SqueezeExcite(nn.Module):
    """Gates channels by a function of their means."""

    def __init__(self, channels: int, gate: nn.Module) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // 4, 1)
        self.expand = nn.Conv2d(channels // 4, channels, 1)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        means = functional.adaptive_avg_pool2d(x, 1)
        return x * self.gate(self.expand(functional.relu(self.reduce(means))))


def conv_bn(inputs: int, outputs: int, kernel: int, **options: int) -> nn.Sequential:
    """Return a padded convolution and its normalization."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, **options)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class MobileNetV3Block(nn.Module):
    """Expansion, depthwise convolution, squeeze and excite, projection, shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Sequential(conv_bn(8, 16, 1), nn.Hardswish())
        self.depthwise = nn.Sequential(conv_bn(16, 16, 5, groups=16), nn.Hardswish())
        self.gate = SqueezeExcite(16, nn.Hardsigmoid())
        self.project = conv_bn(16, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(self.gate(self.depthwise(self.expand(x))))


class RelaxedSwishBlock(nn.Module):
    """Hard swish and hard sigmoid as authors wrote them before PyTorch had them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv_bn(8, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        y = y * (functional.relu6(y + 3) / 6)
        return y * (functional.relu6(functional.adaptive_avg_pool2d(y, 1) + 3) / 6)


class ConvNextBlock(nn.Module):
    """Depthwise convolution, layer norm over channels last, two linear layers with GELU, a scale for each channel."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.norm = nn.LayerNorm(8)
        self.expand, self.project = nn.Linear(8, 32), nn.Linear(32, 8)
        self.scale = nn.Parameter(torch.rand(8))
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = functional.gelu(self.expand(y), approximate=self.approximate)
        return x + (self.scale * self.project(y)).permute(0, 3, 1, 2)


class YoloHead(nn.Module):
    """CSP split, upsampled and joined features, and boxes decoded with a grid of constants."""

    grid: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn(8, 8, 3), nn.SiLU())
        self.mix = nn.Sequential(conv_bn(4, 4, 3), nn.SiLU())
        self.head = nn.Conv2d(20, 6, 1)
        self.register_buffer("grid", torch.arange(64.0).reshape(1, 1, 64).repeat(1, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.stem(x).chunk(2, 1)
        y = torch.cat([first, second, second + self.mix(second)], 1)
        small = functional.max_pool2d(x, 5, 2, 2)
        y = torch.cat([y, functional.interpolate(small, scale_factor=2.0, mode="nearest")], 1)
        boxes = self.head(y).flatten(2)
        centres, sizes, scores = boxes.split((2, 2, 2), 1)
        centres = (centres.sigmoid() * 2 - 0.5 + self.grid) * 8
        return torch.cat([centres, (sizes.sigmoid() * 2) ** 2 * 4, scores.sigmoid()], 1)


class UNet(nn.Module):
    """One level down and up: transposed convolution, bilinear upsampling, a joined shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(conv_bn(8, 8, 3), nn.ReLU())
        self.deep = nn.Sequential(conv_bn(8, 16, 3), nn.LeakyReLU(0.1))
        self.up = nn.Sequential(nn.ConvTranspose2d(16, 8, 2, 2), nn.BatchNorm2d(8), nn.PReLU(8))
        self.out = nn.Conv2d(24, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.down(x)
        deep = self.deep(functional.avg_pool2d(y, 2))
        raised = functional.interpolate(
            deep[:, :8], size=y.shape[2:], mode="bilinear", align_corners=False
        )
        return self.out(torch.cat([y, self.up(deep), raised], 1)).sigmoid()


class ShuffleBlock(nn.Module):
    """Channels split, one half convolved, joined and shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            conv_bn(4, 4, 1), nn.ReLU(), conv_bn(4, 4, 3, groups=4), conv_bn(4, 4, 1), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        kept, convolved = x.chunk(2, 1)
        y = torch.cat([kept, self.branch(convolved)], 1)
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class AttentionBlock(nn.Module):
    """Patches, a class token, one block of attention and its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(8, 16, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 16) * 0.1)
        self.position = nn.Parameter(torch.randn(1, 5, 16) * 0.1)
        self.norm, self.last_norm = nn.LayerNorm(16), nn.LayerNorm(16)
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))
        self.out, self.classify = nn.Linear(16, 16), nn.Linear(16, 3)

    def heads(self, x: Tensor) -> Tensor:
        return x.reshape(-1, 5, 2, 8).permute(0, 2, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.patches(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(y.shape[0], -1, -1), y], 1) + self.position
        z = self.norm(y)
        q, k, v = (self.heads(f(z)) for f in (self.query, self.key, self.value))
        weights = (q @ k.transpose(-2, -1) * 8**-0.5).softmax(-1)
        y = y + self.out((weights @ v).permute(0, 2, 1, 3).reshape(-1, 5, 16))
        return self.classify(self.last_norm(y)[:, 0])


class PixelShuffleBlock(nn.Module):
    """Sub-pixel upsampling, instance and group norm, Mish, reflected borders."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 16, 3)
        self.instance = nn.InstanceNorm2d(16, affine=True)
        self.group = nn.GroupNorm(2, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.instance(self.conv(functional.pad(x, (1, 1, 1, 1), mode="reflect")))
        y = functional.mish(self.group(functional.pixel_shuffle(y, 2)))
        return functional.pixel_unshuffle(y, 2)


class SignalBlock(nn.Module):
    """Convolutions of one axis, as for audio."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(8, 12, 5, stride=2, padding=2)
        self.norm = nn.BatchNorm1d(12)
        self.up = nn.ConvTranspose1d(12, 4, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.elu(self.norm(self.conv(x.flatten(2))))
        y = self.up(functional.max_pool1d(y, 3, 1, 1))
        return torch.tanh(y).mean(-1)


BLOCKS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {
        "squeeze_excite": lambda: SqueezeExcite(8, nn.Sigmoid()),
        "mobilenet_v3": MobileNetV3Block,
        "relaxed_swish": RelaxedSwishBlock,
        "convnext": ConvNextBlock,
        "convnext_tanh": lambda: ConvNextBlock("tanh"),
        "yolo": YoloHead,
        "unet": UNet,
        "shuffle": ShuffleBlock,
        "attention": AttentionBlock,
        "pixel_shuffle": PixelShuffleBlock,
        "signal": SignalBlock,
    }
)


def exported(name: str, *, opset: int, dynamo: bool, free: bool = True) -> onnx.ModelProto:
    """Return a block as ONNX: input [N, 8, 8, 8], in evaluation mode.

    Args:
        name: of BLOCKS.
        opset: of the file; torch's dynamo exporter writes 18 or newer.
        dynamo: which of torch's two exporters writes it.
        free: whether the batch is free.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = BLOCKS[name]().eval()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_(generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
    image = torch.randn(2, 8, 8, 8, generator=generator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old exporter is deprecated; both warn of tracing
        if dynamo:
            shapes = ({0: torch.export.Dim("batch")},) if free else None
            program = torch.onnx.export(
                module, (image,), dynamo=True, opset_version=opset, dynamic_shapes=shapes,
                verbose=False,
            )  # fmt: skip
            assert program is not None
            return program.model_proto
        file = io.BytesIO()
        torch.onnx.export(
            module,
            (image,),
            file,
            dynamo=False,
            opset_version=opset,
            input_names=["x"],
            dynamic_axes={"x": {0: "batch"}} if free else None,
        )
    return onnx.load_from_string(file.getvalue())
