"""Train the demo network on 8x8 handwritten digits and write it as ONNX, BatchNorm kept.

The network has what makes MobileNets hard to quantize: a few channels carry a signal of very
small variance, so folding the BatchNorm that follows multiplies their depthwise filters a
hundredfold, and one 8-bit range for the whole tensor rounds the other channels away. They are
only badly scaled: cross-layer equalization undoes it. The imbalance comes from the uneven
start of some BatchNorm scales, which are then trained like all else. Of seeds 0 to 5 this is
one where 8-bit activations alone cost nothing. Needs ``intlower[train]``.
"""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

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
SEED, EPOCHS, BATCH, LEARNING_RATE = 4, 60, 64, 4e-3
UNEVEN_EXPONENTS = (1.0, -6.0)  # of two: uneven BatchNorm scales at the start
BOTTLENECKS = ("block2.pointwise", "block3.project")  # no ReLU6; the second adds the first


class Layer(nn.Module):
    """A convolution, depthwise if 3x3, and BatchNorm; a small channel learns as fast as any."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, uneven: bool = False
    ) -> None:
        super().__init__()
        sizes = (inputs, outputs, kernel, stride, kernel // 2)
        self.conv = nn.Conv2d(*sizes, groups=inputs if kernel > 1 else 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs, affine=False)
        spread = torch.linspace(0, 1, outputs)[torch.randperm(outputs)] ** 8  # mostly small
        first, last = UNEVEN_EXPONENTS if uneven else (0.0, 0.0)
        # BatchNorm learns the logarithm of its scale, and its offset relative to the scale.
        self.scale_exponent = nn.Parameter(first + (last - first) * spread)
        self.relative_offset = nn.Parameter(torch.zeros(outputs))

    def forward(self, values: Tensor) -> Tensor:
        """Return the normalised convolution of ``values``."""
        values = self.norm(self.conv(values)) + self.relative_offset[:, None, None]
        return values * self.scale_exponent.exp2()[:, None, None]

    def norm_values(self) -> dict[str, Tensor]:
        """Return the inputs of an ONNX BatchNormalization, in their order."""
        scale = self.scale_exponent.exp2()
        moments = {key: self.norm.get_buffer(f"running_{key}") for key in ("mean", "var")}
        return {"scale": scale, "bias": scale * self.relative_offset, **moments}

    def fold_factor(self) -> Tensor:
        """Return what folding BatchNorm multiplies the weights by."""
        values = self.norm_values()
        return (values["scale"] / (values["var"] + self.norm.eps).sqrt())[:, None, None, None]


class Network(nn.Module):
    """Depthwise-separable blocks, the third one residual, and a linear classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = {
            "stem.conv": Layer(1, 24, kernel=3, uneven=True),
            "block1.depthwise": Layer(24, 24, kernel=3),
            "block1.pointwise": Layer(24, 32, uneven=True),
            "block2.depthwise": Layer(32, 32, kernel=3, stride=2),
            "block2.pointwise": Layer(32, 32),
            "block3.expand": Layer(32, 64, uneven=True),
            "block3.depthwise": Layer(64, 64, kernel=3),
            "block3.project": Layer(64, 32),
            "head.pointwise": Layer(32, 64),
        }
        self.registered = nn.ModuleList(self.layers.values())  # makes their parameters known
        self.classifier = nn.Linear(64, 10)

    def forward(self, values: Tensor) -> Tensor:
        """Return the logits of images."""
        outputs = dict[str, Tensor]()
        for name, layer in self.layers.items():
            outputs[name] = values = layer(values)
            if name not in BOTTLENECKS:
                values = functional.relu6(values)
            elif name == BOTTLENECKS[1]:
                values = values + outputs[BOTTLENECKS[0]]
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

    def add(kind: str, name: str, *inputs: str, **options: Any) -> str:
        output = "logits" if name == "classifier" else name
        nodes.append(helper.make_node(kind, inputs, [output], name, **options))
        return output

    value = "image"
    for name, layer in network.layers.items():
        conv, norm = layer.conv, f"{name}.bn"
        norm_values = {f"{norm}.{key}": tensor for key, tensor in layer.norm_values().items()}
        constants |= {f"{name}.weight": conv.weight, **norm_values}
        sizes: dict[str, Any] = {"kernel_shape": conv.kernel_size, "strides": conv.stride}
        sizes |= {"pads": [conv.kernel_size[0] // 2] * 4, "group": conv.groups}
        value = add("Conv", name, value, f"{name}.weight", **sizes)
        value = add("BatchNormalization", norm, value, *norm_values, epsilon=layer.norm.eps)
        if name not in BOTTLENECKS:
            value = add("Clip", f"{name}.relu6", value, "relu6.min", "relu6.max")
        elif name == BOTTLENECKS[1]:
            value = add("Add", "block3.add", value, f"{BOTTLENECKS[0]}.bn")
    value = add("Flatten", "flatten", add("GlobalAveragePool", "pool", value), axis=1)
    add("Gemm", "classifier", value, "classifier.weight", "classifier.bias", transB=1)
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
    for layer in result.layers.values():
        layer.conv.weight *= layer.fold_factor()
        layer.conv.weight.copy_(rounding(layer.conv.weight) / layer.fold_factor())
    result.classifier.weight.copy_(rounding(result.classifier.weight))
    return result


def main() -> None:
    """Train, write both files, and show what rounding the weights does to the accuracy."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # a fixed order of summation: the same bytes every time
    digits, labels = load_digits(return_X_y=True)
    images = (digits.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    split = train_test_split(images, labels, test_size=360, stratify=labels, random_state=0)
    seen, held_out, seen_labels, held_out_labels = map(np.asarray, split)
    network = train(torch.from_numpy(seen), torch.from_numpy(seen_labels))
    onnx.save(to_onnx(network), DEMO / "digits.onnx")
    np.savez_compressed(DEMO / "digits.npz", image=held_out, labels=held_out_labels)
    models = {"float": onnx.load(DEMO / "digits.onnx")}
    models |= {f.__name__: to_onnx(rounded(network, f)) for f in (per_channel, per_tensor)}
    print("top-1 on the 360 held-out images, in onnxruntime, by 8-bit rounding of the weights")
    for title, model in models.items():
        onnx.checker.check_model(model, full_check=True)
        session = onnxruntime.InferenceSession(model.SerializeToString())
        logits = np.asarray(session.run(["logits"], {"image": held_out})[0])
        print(f"{title:24}{np.mean(logits.argmax(1) == held_out_labels):8.2%}")
    print("\nlargest over smallest weight range of a layer's channels, BatchNorm folded")
    for name, layer in network.layers.items():
        ranges = (layer.conv.weight * layer.fold_factor()).abs().flatten(1).amax(1)
        print(f"{name:24}{ranges.max() / ranges.min():8.1f}")


if __name__ == "__main__":
    main()
