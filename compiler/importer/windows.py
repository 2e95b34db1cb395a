"""Conv and the pools: windows that slide over an image, with explicit pads."""

from __future__ import annotations

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.scope import Scope
from intlower.compiler.operators import AveragePool, Conv, GlobalAveragePool, MaxPool, known

Pair = tuple[int, int]


def convert_conv(node: OnnxNode, scope: Scope) -> None:
    """Convert Conv; weights and bias are constants."""
    image = _image_size(node, scope)
    weights = scope.constant(node.input(1), "weight operand")
    bias = (scope.constant(node.input(2), "bias"),) if node.input(2) else ()
    shape = scope.constants[weights].array.shape
    kernel = node.pair("kernel_shape", shape[2:])
    if shape[2:] != kernel:
        raise InvalidGraph(f"{node.name}: kernel_shape is {kernel}, the weights are {shape}")
    strides, dilations = node.pair("strides", (1, 1)), node.pair("dilations", (1, 1))
    conv = Conv(
        strides=strides,
        pads=_explicit_pads(node, image, kernel, strides, dilations),
        dilations=dilations,
        groups=node.integer("group", 1),
    )
    scope.emit(node.name, conv, (node.input(0), weights, *bias), node.outputs[0])


def convert_average_pool(node: OnnxNode, scope: Scope) -> None:
    """Convert AveragePool without dilations."""
    image = _image_size(node, scope)
    kernel, strides = node.pair("kernel_shape"), node.pair("strides", (1, 1))
    if node.pair("dilations", (1, 1)) != (1, 1):
        raise NotSupported("a dilated average")
    pool = AveragePool(
        kernel_shape=kernel,
        strides=strides,
        pads=_explicit_pads(node, image, kernel, strides, (1, 1)),
        ceil_mode=bool(node.integer("ceil_mode", 0)),
        count_include_pad=bool(node.integer("count_include_pad", 0)),
    )
    scope.emit(node.name, pool, (node.input(0),), node.outputs[0])


def convert_max_pool(node: OnnxNode, scope: Scope) -> None:
    """Convert MaxPool whose indices nothing reads (`storage_order` concerns only them)."""
    node.first_output_only()
    image = _image_size(node, scope)
    kernel, strides = node.pair("kernel_shape"), node.pair("strides", (1, 1))
    dilations = node.pair("dilations", (1, 1))
    pool = MaxPool(
        kernel_shape=kernel,
        strides=strides,
        pads=_explicit_pads(node, image, kernel, strides, dilations),
        dilations=dilations,
        ceil_mode=bool(node.integer("ceil_mode", 0)),
    )
    scope.emit(node.name, pool, (node.input(0),), node.outputs[0])


def convert_global_average_pool(node: OnnxNode, scope: Scope) -> None:
    """Convert GlobalAveragePool."""
    _image_size(node, scope)
    scope.emit(node.name, GlobalAveragePool(), (node.input(0),), node.outputs[0])


def _image_size(node: OnnxNode, scope: Scope) -> Pair:
    """Return height and width of the node's first input."""
    shape = scope.shape(node.input(0))
    if len(shape) != 4:
        raise NotSupported(f"only images [N, C, H, W] are, and its input has rank {len(shape)}")
    return known(shape[2]), known(shape[3])


def _explicit_pads(
    node: OnnxNode, image: Pair, kernel: Pair, strides: Pair, dilations: Pair
) -> tuple[int, int, int, int]:
    """Return (top, left, bottom, right) for any form of padding.

    SAME_* pads so that ceil(size / stride) windows fit; an odd pad more goes to the end (UPPER) or
    to the begin (LOWER). `pads` is not looked at unless `auto_pad` is NOTSET, as in onnxruntime.
    """
    form = node.text("auto_pad", "NOTSET")
    if form == "NOTSET":
        pads = node.integers("pads") or (0, 0, 0, 0)
        if len(pads) != 4:
            raise InvalidGraph(f"{node.name}: pads is {pads}, not four integers")
        return pads[0], pads[1], pads[2], pads[3]
    if form == "VALID":
        return 0, 0, 0, 0
    if form not in ("SAME_UPPER", "SAME_LOWER"):
        raise InvalidGraph(f"{node.name}: auto_pad is {form!r}")
    if dilations != (1, 1):
        # onnxruntime refuses it for Conv and pads MaxPool otherwise than ONNX says.
        raise NotSupported(f"runtimes disagree about auto_pad {form} with dilations")
    ends = []
    for size, extent, stride in zip(image, kernel, strides, strict=True):
        if stride < 1:
            raise InvalidGraph(f"{node.name}: strides are {strides}")
        windows = -(-size // stride)
        total = max((windows - 1) * stride + extent - size, 0)
        less, more = total // 2, total - total // 2
        ends.append((less, more) if form == "SAME_UPPER" else (more, less))
    return ends[0][0], ends[1][0], ends[0][1], ends[1][1]
