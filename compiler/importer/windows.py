"""Conv and the pools: windows that slide over an image, with explicit pads.

A window over one axis, [N, C, L], slides over the image [N, C, 1, L]; one over the first axis of a volume, [N, C, D, H, W],
over [N, C, D, H * W], and one over the last over [N, C, D * H, W]. Reshapes stand around it.
"""

from __future__ import annotations

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.image import Image, Pair, as_image
from intlower.compiler.importer.scope import Scope
from intlower.compiler.operators import AveragePool, Conv, GlobalAveragePool, MaxPool


def convert_conv(node: OnnxNode, scope: Scope) -> None:
    """Convert Conv; weights and bias are constants."""
    image = as_image(node, scope, tuple(d or 1 for d in scope.shape(node.input(1))[2:]))
    weights = image.weights(node.input(1), "weight operand")
    bias = (scope.constant(node.input(2), "bias"),) if node.input(2) else ()
    shape = scope.constants[weights].array.shape
    kernel = image.pair("kernel_shape", shape[2:])
    if shape[2:] != kernel:
        raise InvalidGraph(f"{node.name}: kernel_shape is {kernel}, the weights are {shape}")
    strides, dilations = image.pair("strides", (1, 1)), image.pair("dilations", (1, 1))
    conv = Conv(
        strides=strides,
        pads=explicit_pads(image, kernel, strides, dilations),
        dilations=dilations,
        groups=node.integer("group", 1),
    )
    image.emit(conv, (weights, *bias))


def convert_average_pool(node: OnnxNode, scope: Scope) -> None:
    """Convert AveragePool without dilations."""
    image = as_image(node, scope, node.integers("kernel_shape"))
    kernel, strides = image.pair("kernel_shape"), image.pair("strides", (1, 1))
    if image.pair("dilations", (1, 1)) != (1, 1):
        raise NotSupported("a dilated average")
    pool = AveragePool(
        kernel_shape=kernel,
        strides=strides,
        pads=explicit_pads(image, kernel, strides, (1, 1)),
        ceil_mode=bool(node.integer("ceil_mode", 0)),
        count_include_pad=bool(node.integer("count_include_pad", 0)),
    )
    image.emit(pool)


def convert_max_pool(node: OnnxNode, scope: Scope) -> None:
    """Convert MaxPool whose indices nothing reads (`storage_order` concerns only them)."""
    node.first_output_only()
    image = as_image(node, scope, node.integers("kernel_shape"))
    kernel, strides = image.pair("kernel_shape"), image.pair("strides", (1, 1))
    dilations = image.pair("dilations", (1, 1))
    pool = MaxPool(
        kernel_shape=kernel,
        strides=strides,
        pads=explicit_pads(image, kernel, strides, dilations),
        dilations=dilations,
        ceil_mode=bool(node.integer("ceil_mode", 0)),
    )
    image.emit(pool)


def convert_global_average_pool(node: OnnxNode, scope: Scope) -> None:
    """Convert GlobalAveragePool."""
    as_image(node, scope, (1, 1, 1)).emit(GlobalAveragePool())


def convert_global_max_pool(node: OnnxNode, scope: Scope) -> None:
    """Convert GlobalMaxPool to a MaxPool with one window."""
    image = as_image(node, scope, (1, 1, 1))
    image.emit(MaxPool(kernel_shape=image.size))


def explicit_pads(
    image: Image, kernel: Pair, strides: Pair, dilations: Pair
) -> tuple[int, int, int, int]:
    """Return (top, left, bottom, right) for any form of padding.

    SAME_* pads so that ceil(size / stride) windows fit; an odd pad more goes to the end (UPPER) or
    to the begin (LOWER). `pads` is not looked at unless `auto_pad` is NOTSET, as in onnxruntime.
    """
    node = image.node
    form = node.text("auto_pad", "NOTSET")
    if form == "NOTSET":
        return image.pads()
    if form == "VALID":
        return 0, 0, 0, 0
    if form not in ("SAME_UPPER", "SAME_LOWER"):
        raise InvalidGraph(f"{node.name}: auto_pad is {form!r}")
    if dilations != (1, 1):
        # onnxruntime refuses it for Conv and pads MaxPool otherwise than ONNX says.
        raise NotSupported(f"runtimes disagree about auto_pad {form} with dilations")
    ends = []
    for size, extent, stride in zip(image.size, kernel, strides, strict=True):
        if stride < 1:
            raise InvalidGraph(f"{node.name}: strides are {strides}")
        windows = -(-size // stride)
        total = max((windows - 1) * stride + extent - size, 0)
        less, more = total // 2, total - total // 2
        ends.append((less, more) if form == "SAME_UPPER" else (more, less))
    return ends[0][0], ends[1][0], ends[0][1], ends[1][1]
