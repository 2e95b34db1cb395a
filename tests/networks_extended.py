"""Small ONNX models of the blocks that newer networks are made of."""

from __future__ import annotations

import onnx
from networks import NetworkBuilder


def squeeze_excitation(*, channels: int = 8, size: int = 6, seed: int = 0) -> onnx.ModelProto:
    """Conv, then a gate of its channels' means: two 1x1 convolutions, HardSigmoid, Mul."""
    b = NetworkBuilder(seed=seed)
    x = b.relu(b.conv("input", 3, channels, 3, pads=[1, 1, 1, 1]))
    gate = b.node("GlobalAveragePool", x)
    gate = b.relu(b.conv(gate, channels, channels // 2, 1))
    gate = b.node("HardSigmoid", b.conv(gate, channels // 2, channels, 1), alpha=0.2, beta=0.5)
    x = b.node("Mul", x, gate)
    return b.model({"input": ["N", 3, size, size]}, b.conv(x, channels, 4, 1))


def activations(*, channels: int = 6, size: int = 5, seed: int = 0) -> onnx.ModelProto:
    """Convolutions with HardSwish, SiLU as exported, LeakyRelu, PRelu, Tanh; sums and differences of them."""
    b = NetworkBuilder(seed=seed)
    x = b.conv("input", 3, channels, 3, pads=[1, 1, 1, 1])
    swish = b.node("HardSwish", x)
    y = b.conv(swish, channels, channels, 1)
    silu = b.node("Mul", y, b.node("Sigmoid", y))
    leaky = b.node("LeakyRelu", b.conv(silu, channels, channels, 1), alpha=0.1)
    slopes = b.constant(b.random.uniform(-0.2, 0.5, (channels, 1, 1)))
    rectified = b.node("PRelu", b.conv(leaky, channels, channels, 1), slopes)
    difference = b.node("Sub", rectified, swish)
    product = b.node("Mul", difference, b.node("Tanh", difference))
    scaled = b.node("Mul", product, b.constant(b.random.uniform(0.5, 2.0, (1, channels, 1, 1))))
    return b.model({"input": ["N", 3, size, size]}, b.node("Max", scaled, b.constant(-0.5)))


def upsampling_head(*, channels: int = 4, size: int = 6, seed: int = 0) -> onnx.ModelProto:
    """Two scales of features: the coarse one resized to nearest, joined, resized linearly, padded by reflection."""
    b = NetworkBuilder(seed=seed)
    fine = b.relu(b.conv("input", 3, channels, 3, pads=[1, 1, 1, 1]))
    coarse = b.relu(
        b.conv(
            fine,
            channels,
            channels,
            2,
            strides=[2, 2],
        )
    )
    scales = b.constant([1.0, 1.0, 2.0, 2.0])
    up = b.node("Resize", coarse, "", scales, mode="nearest", nearest_mode="floor")
    x = b.conv(b.node("Concat", fine, up, axis=1), 2 * channels, channels, 1)
    x = b.node("Resize", x, "", b.constant([1.0, 1.0, 2.0, 2.0]), mode="linear")
    x = b.node("Pad", x, b.integers(0, 0, 1, 2, 0, 0, 2, 1), mode="reflect")
    x = b.node("Pad", x, b.integers(0, 0, 0, 1, 0, 0, 1, 0), mode="edge")
    return b.model({"input": ["N", 3, size, size]}, x)


def channel_shuffle(*, channels: int = 8, size: int = 6, seed: int = 0) -> onnx.ModelProto:
    """Halves of channels, one convolved, shuffled; then blocks of positions as channels and back."""
    b = NetworkBuilder(seed=seed)
    half = channels // 2
    kept = b.slice("input", [0], [half], [1])
    changed = b.relu(b.conv(b.slice("input", [half], [channels], [1]), half, half, 1))
    x = b.node("Concat", kept, changed, axis=1)
    x = b.node("Reshape", x, b.integers(0, 2, half, size, size))
    x = b.node("Transpose", x, perm=[0, 2, 1, 3, 4])
    x = b.node("Reshape", x, b.integers(0, channels, size, size))
    x = b.node("SpaceToDepth", x, blocksize=2)
    x = b.conv(x, 4 * channels, 4 * channels, 1)
    x = b.node("DepthToSpace", x, blocksize=2, mode="CRD")
    return b.model({"input": ["N", channels, size, size]}, b.node("ReduceMax", x, axes=[2, 3]))


def transposed_convolution(
    *, channels: int = 6, size: int = 4, seed: int = 0
) -> onnx.ModelProto:
    """Encoder and decoder: a strided Conv, a grouped and a plain ConvTranspose with BatchNormalization."""
    b = NetworkBuilder(seed=seed)
    x = b.relu(b.conv("input", 3, channels, 3, strides=[2, 2], pads=[1, 1, 1, 1]))
    weights = b.normal(channels, 2, 3, 3, scale=0.3)
    x = b.node(
        "ConvTranspose",
        x,
        weights,
        b.normal(4, scale=0.1),
        strides=[2, 2],
        pads=[1, 1, 1, 1],
        output_padding=[1, 1],
        group=2,
    )
    x = b.relu(b.batch_norm(x, 4))
    x = b.node("ConvTranspose", x, b.normal(4, 3, 2, 2, scale=0.4), strides=[2, 2])
    return b.model({"input": ["N", 3, size, size]}, x)


def token_mixer(*, channels: int = 6, size: int = 4, seed: int = 0) -> onnx.ModelProto:
    """Positions as tokens: a product along the last axis with GELU, a mean over it that gates, a sum that broadcasts."""
    b = NetworkBuilder(seed=seed)
    x = b.conv("input", 3, channels, 1)
    x = b.node("Reshape", x, b.integers(0, channels, size * size))
    x = b.node("Transpose", x, perm=[0, 2, 1])
    hidden = b.node("MatMul", x, b.normal(channels, 2 * channels, scale=0.4))
    hidden = b.node("Add", hidden, b.normal(2 * channels, scale=0.1))
    root = b.node("Div", hidden, b.constant(2.0**0.5))
    one = b.node("Add", b.node("Erf", root), b.constant(1.0))
    hidden = b.node("Mul", b.node("Mul", hidden, one), b.constant(0.5))
    y = b.node("MatMul", hidden, b.normal(2 * channels, channels, scale=0.3))
    y = b.node("Add", y, b.node("ReduceMean", y, axes=[1]))
    y = b.node("Mul", y, b.node("ReduceMean", x, axes=[2]))
    return b.model({"input": ["N", 3, size, size]}, y)


def attention(*, channels: int = 6, size: int = 4, seed: int = 0) -> onnx.ModelProto:
    """Patches with a class token and positions, a layer norm, one head of attention with a mask, a gelu layer."""
    b = NetworkBuilder(seed=seed)
    tokens = (size // 2) ** 2 + 1
    x = b.conv("input", 3, channels, 2, strides=[2, 2])
    x = b.node("Reshape", x, b.integers(0, channels, tokens - 1))
    x = b.node("Transpose", x, perm=[0, 2, 1])
    token = b.node("Mul", b.node("ReduceMean", x, axes=[1]), b.normal(1, 1, channels))
    x = b.node("Add", b.node("Concat", token, x, axis=1), b.normal(1, tokens, channels))
    scale, shift = b.normal(channels), b.normal(channels, scale=0.1)
    y = b.node("LayerNormalization", x, scale, shift, axis=-1)
    q, k, v = (b.node("MatMul", y, b.normal(channels, 4, scale=0.5)) for _ in range(3))
    scores = b.node("MatMul", q, b.node("Transpose", k, perm=[0, 2, 1]))
    scores = b.node("Add", scores, b.normal(tokens, tokens))
    y = b.node("MatMul", b.node("Softmax", scores, axis=-1), v)
    x = b.node("Add", x, b.node("MatMul", y, b.normal(4, channels, scale=0.5)))
    return b.model({"input": ["N", 3, size, size]}, b.node("Tanh", x))


def normalizations(*, channels: int = 6, size: int = 5, seed: int = 0) -> onnx.ModelProto:
    """Instance and response normalization, a quotient, the greater and lesser of two tensors, slopes of each element."""
    b = NetworkBuilder(seed=seed)
    x = b.conv("input", 3, channels, 3, pads=[1, 1, 1, 1])
    x = b.node("InstanceNormalization", x, b.normal(channels), b.normal(channels, scale=0.1))
    x = b.node("LRN", x, size=3, alpha=0.5)
    divisor = b.node("Add", b.node("Abs", x), b.constant(1.0))
    quotient = b.node("Div", b.conv(x, channels, channels, 1), divisor)
    least = b.node("Min", b.node("Max", x, quotient), b.node("ReduceMin", x, axes=[1]))
    slopes = b.constant(b.random.uniform(0, 1, (channels, size, size)))
    return b.model({"input": ["N", 3, size, size]}, b.node("PRelu", least, slopes))
