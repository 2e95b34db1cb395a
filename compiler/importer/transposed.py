"""ConvTranspose, with all ways to say how large its output is."""

from __future__ import annotations

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.importer.attributes import OnnxNode
from intlower.compiler.importer.image import Image, Pair, as_image
from intlower.compiler.importer.scope import Scope
from intlower.compiler.operators import ConvTranspose


def convert_conv_transpose(node: OnnxNode, scope: Scope) -> None:
    """Convert ConvTranspose; weights and bias are constants."""
    image = as_image(node, scope)
    weights = image.weights(node.input(1), "weight operand")
    bias = (scope.constant(node.input(2), "bias"),) if node.input(2) else ()
    shape = scope.constants[weights].array.shape
    kernel = image.pair("kernel_shape", shape[2:])
    if shape[2:] != kernel:
        raise InvalidGraph(f"{node.name}: kernel_shape is {kernel}, the weights are {shape}")
    strides, dilations = image.pair("strides", (1, 1)), image.pair("dilations", (1, 1))
    padding = image.pair("output_padding", (0, 0))
    if image.flat:
        padding = (0, padding[1])
    pads, more = _pads(image, kernel, strides, dilations, padding)
    operator = ConvTranspose(
        strides=strides,
        pads=pads,
        output_padding=more,
        dilations=dilations,
        groups=node.integer("group", 1),
    )
    image.emit(operator, (weights, *bias))


def _pads(
    image: Image, kernel: Pair, strides: Pair, dilations: Pair, padding: Pair
) -> tuple[tuple[int, int, int, int], Pair]:
    """Return explicit pads and output padding.

    An output's size that is given (or, with SAME_*, is input size times stride) decides how much is cut: an odd element
    at the end with SAME_UPPER, else at the begin. What is missing is added at the end.

    Source: ONNX ConvTranspose; onnxruntime's ConvTransposeAttributes.
    """
    node = image.node
    form = node.text("auto_pad", "NOTSET")
    if form not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise InvalidGraph(f"{node.name}: auto_pad is {form!r}")
    wanted = _wanted_size(image, strides, form)
    if wanted is None:
        return (image.pads() if form == "NOTSET" else (0, 0, 0, 0)), padding
    ends: list[Pair] = []
    more: list[int] = []
    for axis in (0, 1):
        full = (image.size[axis] - 1) * strides[axis] + dilations[axis] * (kernel[axis] - 1) + 1
        total = full + padding[axis] - wanted[axis]
        cut = max(total, 0)
        half, rest = cut // 2, cut - cut // 2
        ends.append((half, rest) if form == "SAME_UPPER" else (rest, half))
        more.append(padding[axis] + max(-total, 0))
    (top, bottom), (left, right) = ends
    return (top, left, bottom, right), (more[0], more[1])


def _wanted_size(image: Image, strides: Pair, form: str) -> Pair | None:
    given = image.node.integers("output_shape")
    if given is not None:
        spatial = given[-1:] if image.flat else given[-2:]
        if len(given) not in (len(spatial), len(spatial) + 2) or len(spatial) < (
            1 if image.flat else 2
        ):
            raise InvalidGraph(f"{image.node.name}: output_shape is {given}")
        return (1, spatial[0]) if image.flat else (spatial[0], spatial[1])
    if form.startswith("SAME"):
        return image.size[0] * strides[0], image.size[1] * strides[1]
    return None
