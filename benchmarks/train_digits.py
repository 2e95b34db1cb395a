"""Train the demo network on 8x8 handwritten digits and write it as ONNX, BatchNorm kept.

The network has what makes MobileNets hard to quantize: a few channels carry a signal of very
small variance, so folding the BatchNorm that follows multiplies their depthwise filters a
hundredfold, and one 8-bit range for the whole tensor rounds the other channels away. They are
only badly scaled, so cross-layer equalization undoes the damage. The imbalance comes from an
uneven initialisation of some BatchNorm scales, which are then trained like everything else.

Run with ``python benchmarks/train_digits.py``; it needs the ``train`` extra (scikit-learn).
"""

import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

DEMO = Path(__file__).resolve().parent.parent / "intlower" / "demo"
SEED = 0
EPOCHS, BATCH, LEARNING_RATE = 60, 64, 4e-3
SCALE_EXPONENTS = (1.0, -7.0)  # uneven BatchNorm scales start between 2 and 1/128


class Layer(NamedTuple):
    """One convolution with BatchNorm; they run in the order of ``LAYERS``."""

    name: str
    inputs: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    relu6: bool = True
    uneven: bool = False  # start from BatchNorm scales very different between channels
    residual: str = ""  # name of the earlier layer whose output is added to this one's


LAYERS = (
    Layer("stem.conv", 1, 24, kernel=3, uneven=True),
    Layer("block1.depthwise", 24, 24, kernel=3, groups=24),
    Layer("block1.pointwise", 24, 32, uneven=True),
    Layer("block2.depthwise", 32, 32, kernel=3, stride=2, groups=32),
    Layer("block2.pointwise", 32, 32, relu6=False),
    Layer("block3.expand", 32, 64, uneven=True),
    Layer("block3.depthwise", 64, 64, kernel=3, groups=64),
    Layer("block3.project", 64, 32, relu6=False, residual="block2.pointwise"),
    Layer("head.pointwise", 32, 64),
)


class ConvNorm(nn.Module):
    """A convolution and its BatchNorm, whose scale is learned as a logarithm.

    The offset is relative to the scale: small channels learn at the same pace as large ones.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        sizes = (layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.kernel // 2)
        self.convolution = nn.Conv2d(*sizes, groups=layer.groups, bias=False)
        self.norm = nn.BatchNorm2d(layer.outputs, affine=False)
        spread = torch.linspace(0, 1, layer.outputs)[torch.randperm(layer.outputs)]
        first, last = SCALE_EXPONENTS if layer.uneven else (0.0, 0.0)
        exponents = first + (last - first) * spread**5  # most channels near the first
        self.log_scale = nn.Parameter(exponents * math.log(2))
        self.relative_offset = nn.Parameter(torch.zeros(layer.outputs))

    def forward(self, values: Tensor) -> Tensor:
        """Return the normalised convolution of ``values``."""
        values = self.norm(self.convolution(values)) + self.relative_offset[:, None, None]
        return values * self.log_scale.exp()[:, None, None]

    def norm_values(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return scale, offset, mean and variance, as BatchNormalization takes them."""
        mean, variance = (self.norm.get_buffer(f"running_{name}") for name in ("mean", "var"))
        scale = self.log_scale.exp()
        return scale, scale * self.relative_offset, mean, variance

    def fold_factor(self) -> Tensor:
        """Return what folding BatchNorm multiplies the weights by."""
        scale, _, _, variance = self.norm_values()
        return (scale / torch.sqrt(variance + self.norm.eps))[:, None, None, None]


class Network(nn.Module):
    """The convolutions of ``LAYERS``, global average pooling and a linear classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = [ConvNorm(layer) for layer in LAYERS]
        self.registered = nn.ModuleList(self.stages)  # makes their parameters known
        self.classifier = nn.Linear(LAYERS[-1].outputs, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits."""
        values, outputs = image, dict[str, Tensor]()
        for layer, stage in zip(LAYERS, self.stages, strict=True):
            values = functional.relu6(stage(values)) if layer.relu6 else stage(values)
            values = values + outputs[layer.residual] if layer.residual else values
            outputs[layer.name] = values
        return self.classifier(values.mean((2, 3)))


def train(images: Tensor, labels: Tensor) -> Network:
    """Train on images shifted by up to one pixel, with Adam and a one-cycle learning rate."""
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    steps = len(images) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, EPOCHS * steps)
    padded = functional.pad(images, (1, 1, 1, 1))
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images))[: steps * BATCH].split(BATCH):
            row, column = torch.randint(0, 3, (2,)).tolist()
            logits = network(padded[batch, :, row : row + 8, column : column + 8])
            optimizer.zero_grad()
            functional.cross_entropy(logits, labels[batch], label_smoothing=0.05).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def to_onnx(network: Network) -> onnx.ModelProto:
    """Write the network node by node; the exporter of torch would fold BatchNorm away."""
    constants = {"relu6.min": torch.tensor(0.0), "relu6.max": torch.tensor(6.0)}
    constants |= network.classifier.state_dict(prefix="classifier.")
    nodes: list[onnx.NodeProto] = []

    def add(kind: str, name: str, *inputs: str, output: str = "", **options: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output or name], name, **options))
        return output or name

    value, outputs = "image", dict[str, str]()
    for layer, stage in zip(LAYERS, network.stages, strict=True):
        name, weight, epsilon = layer.name, f"{layer.name}.weight", stage.norm.eps
        norms = [f"{name}.bn.{part}" for part in ("scale", "bias", "mean", "variance")]
        constants |= {weight: stage.convolution.weight}
        constants |= zip(norms, stage.norm_values(), strict=True)
        sizes = {"kernel_shape": [layer.kernel] * 2, "pads": [layer.kernel // 2] * 4}
        sizes |= {"strides": [layer.stride] * 2}
        value = add("Conv", name, value, weight, group=layer.groups, **sizes)
        value = add("BatchNormalization", f"{name}.bn", value, *norms, epsilon=epsilon)
        if layer.relu6:
            value = add("Clip", f"{name}.relu6", value, "relu6.min", "relu6.max")
        if layer.residual:
            value = add("Add", f"{name}.add", value, outputs[layer.residual])
        outputs[name] = value
    value = add("Flatten", "flatten", add("GlobalAveragePool", "pool", value), axis=1)
    operands = (value, "classifier.weight", "classifier.bias")
    add("Gemm", "classifier", *operands, output="logits", transB=1)
    tensors = [numpy_helper.from_array(v.detach().numpy(), k) for k, v in constants.items()]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 8, 8])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])
    graph = helper.make_graph(nodes, "digits", [image], [logits], tensors)
    producer, opsets = "intlower train_digits", [helper.make_opsetid("", 13)]
    return helper.make_model(graph, producer_name=producer, opset_imports=opsets, ir_version=7)


def per_channel(weight: Tensor) -> Tensor:
    """Round to 8 bits, symmetric, with one scale for each output channel."""
    step = weight.abs().flatten(1).amax(1).view(-1, *[1] * (weight.dim() - 1)) / 127
    return torch.round(weight / step) * step


def per_tensor(weight: Tensor) -> Tensor:
    """Round to 8 bits, asymmetric, with one range from minimum to maximum including zero."""
    low, high = weight.min().clamp(max=0), weight.max().clamp(min=0)
    step = (high - low) / 255
    zero = torch.round(-low / step)
    return (torch.clamp(torch.round(weight / step) + zero, 0, 255) - zero) * step


@torch.no_grad()
def rounded(network: Network, rounding: Callable[[Tensor], Tensor]) -> Network:
    """Return a copy with its weights folded, rounded, and unfolded again."""
    result = deepcopy(network)
    for stage in result.stages:
        factor, weight = stage.fold_factor(), stage.convolution.weight
        weight.copy_(rounding(weight * factor) / factor)
    result.classifier.weight.copy_(rounding(result.classifier.weight))
    return result


def top1(model: onnx.ModelProto, images: np.ndarray, labels: np.ndarray) -> float:
    """Return the fraction of images onnxruntime classifies correctly."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    logits = np.asarray(session.run(["logits"], {"image": images})[0])
    return float(np.mean(logits.argmax(1) == labels))


def main() -> None:
    """Train, write both files, and show what rounding the weights does to the accuracy."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # a fixed order of summation: the same bytes every time
    digits, labels = load_digits(return_X_y=True)
    images = (digits.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    split = train_test_split(images, labels, test_size=360, stratify=labels, random_state=0)
    seen, held_out, seen_labels, held_out_labels = split
    network = train(torch.from_numpy(seen), torch.from_numpy(seen_labels))

    DEMO.mkdir(exist_ok=True)
    model = to_onnx(network)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, DEMO / "digits.onnx")
    np.savez_compressed(DEMO / "digits.npz", image=held_out, labels=held_out_labels)

    print("top-1 on the 360 held-out images, in onnxruntime")
    print(f"float weights            {top1(model, held_out, held_out_labels):8.2%}")
    for rounding in (per_channel, per_tensor):
        accuracy = top1(to_onnx(rounded(network, rounding)), held_out, held_out_labels)
        print(f"8-bit, {rounding.__name__:18}{accuracy:8.2%}")
    print("\nlargest over smallest weight range of a layer's channels, BatchNorm folded")
    for layer, stage in zip(LAYERS, network.stages, strict=True):
        ranges = (stage.convolution.weight * stage.fold_factor()).abs().flatten(1).amax(1)
        print(f"{layer.name:24} {ranges.max() / ranges.min():8.1f}")


if __name__ == "__main__":
    main()
