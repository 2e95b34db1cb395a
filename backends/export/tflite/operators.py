"""Each integer instruction as operators of TFLite."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from intlower.backends.export.tflite.extended import (
    write_constant,
    write_gather,
    write_lookup,
    write_matmul,
    write_multiply,
    write_transpose,
)
from intlower.backends.export.tflite.flatbuffer import Scalar
from intlower.backends.export.tflite.model import Builtin, Padding, Quantization, options
from intlower.backends.export.tflite.network import Network, refuse, stored_axes, stored_shape
from intlower.compiler.grids import uniform
from intlower.compiler.program import Instruction
from intlower.kernels.signature import ElementType

# numbers of options in the union BuiltinOptions, and how many fields each has
_CONV, _DEPTHWISE, _POOL, _SOFTMAX = (1, 7), (2, 7), (5, 6), (9, 1)
_CONCATENATION, _ADD, _RESHAPE, _STRIDED_SLICE = (10, 2), (11, 2), (17, 1), (32, 6)


def write_instruction(network: Network, instruction: Instruction) -> None:
    """Append the operators of one instruction.

    Raises:
        ExportError: TFLite has none; the message names it.
    """
    _WRITERS[instruction.kernel.operator](network, instruction)


def _byte(value: int) -> Scalar:
    return Scalar("int8", value)


def _int(value: int, default: int = 0) -> Scalar:
    return Scalar("int32", value, default)


def _pair(instruction: Instruction, key: str) -> tuple[int, int]:
    value = instruction.attributes[key]
    assert isinstance(value, tuple)  # check_instruction proved it, and its length
    return value[0], value[1]


def _many(instruction: Instruction, key: str) -> tuple[int, ...]:
    value = instruction.attributes[key]
    assert isinstance(value, tuple)  # check_instruction proved it
    return value


def _one(instruction: Instruction, key: str) -> int:
    value = instruction.attributes[key]
    assert isinstance(value, int)  # check_instruction proved it
    return value


def _parameters(network: Network, instruction: Instruction, axes: tuple[int, ...]) -> list[int]:
    """Add weights of four axes, in another order, and biases; return their indices."""
    grid = (
        uniform(instruction.weight_grid, instruction.name) if instruction.weight_grid else None
    )
    assert grid is not None  # the operator is weighted
    weights = instruction.constants["weights"].array
    weights = weights.reshape(*weights.shape, *(1,) * (4 - weights.ndim)).transpose(axes)
    scale = np.atleast_1d(grid.scale.array)
    channels = axes.index(0)
    source = network.grid(instruction.inputs[0])
    wide = source.element is ElementType.INT16
    bias = instruction.constants["bias"].array.astype(np.int64 if wide else np.int32)
    bias_scale = (source.scale.array * scale).astype(np.float32)
    return [
        network.constant(
            f"{instruction.name}/weights",
            np.ascontiguousarray(weights),
            Quantization(scale=scale, zero_point=0, axis=channels),
        ),
        network.constant(
            f"{instruction.name}/bias", bias, Quantization(scale=bias_scale, zero_point=0)
        ),
    ]


def _conv2d(network: Network, instruction: Instruction) -> None:
    weights = instruction.constants["weights"].array
    strides, dilations = (_pair(instruction, key) for key in ("strides", "dilations"))
    groups = _one(instruction, "groups")
    extents = tuple(d * (k - 1) + 1 for d, k in zip(dilations, weights.shape[2:], strict=True))
    grid = network.grid(instruction.inputs[0])
    padding, source = network.padded(instruction, (extents[0], extents[1]), grid.zero_point)
    depthwise = groups > 1 and weights.shape[1] == 1
    parameters = _parameters(network, instruction, (1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
    activation, result = network.clamped(instruction, fused=True)
    fields = {0: _byte(padding), 1: _int(strides[1]), 2: _int(strides[0])}
    vertical, horizontal = _int(dilations[0], 1), _int(dilations[1], 1)
    if depthwise:
        fields |= {3: _int(weights.shape[0] // groups), 4: _byte(activation)}
        fields |= {5: horizontal, 6: vertical}
    else:
        fields |= {3: _byte(activation), 4: horizontal, 5: vertical}
    network.operator(
        Builtin.DEPTHWISE_CONV_2D if depthwise else Builtin.CONV_2D,
        [source, *parameters],
        result,
        options(*(_DEPTHWISE if depthwise else _CONV), fields),
        grid.element,
        version=6 if groups > 1 and not depthwise else 1,  # grouped convolution
    )
    network.finish(instruction, result)


def _gemm(network: Network, instruction: Instruction) -> None:
    """Write a 1x1 convolution between two RESHAPEs.

    Not FULLY_CONNECTED: LiteRT 2 rescales its sums in float64 with one rounding, also in its reference kernels (measured),
    and TFLite Micro by the integers of a convolution. CONV_2D is equation (11) everywhere.
    """
    source, target = instruction.inputs[0], instruction.output
    batch = network.program.tensors[source].shape[0]
    outputs, inputs = instruction.constants["weights"].array.shape
    element = network.grid(source).element
    image = network.temporary(f"{source}/image", source, (batch, 1, 1, inputs))
    _reshaped(network, network.writer.index(source), image, (-1, 1, 1, inputs), element)
    parameters = _parameters(network, instruction, (0, 2, 3, 1))
    pixel = network.temporary(f"{target}/image", target, (batch, 1, 1, outputs))
    activation, result = network.clamped(instruction, fused=True)
    fields = {0: _byte(Padding.VALID), 1: _int(1), 2: _int(1), 3: _byte(activation)}
    chosen = options(*_CONV, fields)
    network.operator(Builtin.CONV_2D, [image, *parameters], pixel, chosen, element)
    _reshaped(network, pixel, result, (-1, outputs), element)
    network.finish(instruction, result)


def _reshaped(
    network: Network, source: int, target: int, shape: tuple[int, ...], element: ElementType
) -> None:
    """Append a RESHAPE; the batch, -1, is whatever is left, so that a caller may resize it."""
    wanted = network.integers("shape", shape)
    network.operator(
        Builtin.RESHAPE, [source, wanted], target, options(*_RESHAPE), element, len(shape)
    )


def _add(network: Network, instruction: Instruction) -> None:
    sources = [network.writer.index(name) for name in instruction.inputs]
    activation, result = network.clamped(instruction, fused=True)
    network.operator(
        Builtin.ADD,
        sources,
        result,
        options(*_ADD, {0: _byte(activation), 1: Scalar("bool", False, True)}),
        network.grid(instruction.inputs[0]).element,
    )
    network.finish(instruction, result)


def _requantize(network: Network, instruction: Instruction) -> None:
    source = network.writer.index(instruction.inputs[0])
    _, result = network.clamped(instruction, fused=False)
    element = network.grid(instruction.output).element
    network.operator(Builtin.QUANTIZE, [source], result, None, element)
    network.finish(instruction, result)


def _mean_pool(network: Network, instruction: Instruction) -> None:
    kernel = _pair(instruction, "kernel_shape")
    _, _, padding = network.window_pads(instruction, kernel)
    if padding is None:
        raise refuse(
            instruction.name,
            f"averages with pads {_many(instruction, 'pads')}, and TFLite only with those of SAME or none",
            "pad with zeros that count, or choose pads that are shared evenly, the odd one behind",
        )
    source = network.writer.index(instruction.inputs[0])
    _pool(network, instruction, Builtin.AVERAGE_POOL_2D, padding, source, clamped=True)


def _max_pool(network: Network, instruction: Instruction) -> None:
    kernel = _pair(instruction, "kernel_shape")
    if _pair(instruction, "dilations") != (1, 1):
        raise refuse(instruction.name, "is a dilated maximum, which TFLite does not have")
    least = network.grid(instruction.inputs[0]).element.limits[0]
    padding, source = network.padded(instruction, kernel, least)
    _pool(network, instruction, Builtin.MAX_POOL_2D, padding, source, clamped=False)


def _pool(
    network: Network,
    instruction: Instruction,
    builtin: Builtin,
    padding: int,
    source: int,
    *,
    clamped: bool,
) -> None:
    kernel, strides = (_pair(instruction, key) for key in ("kernel_shape", "strides"))
    fields = {
        0: _byte(padding),
        1: _int(strides[1]),
        2: _int(strides[0]),
        3: _int(kernel[1]),
        4: _int(kernel[0]),
    }
    if clamped:
        activation, result = network.clamped(instruction, fused=True)
        fields[5] = _byte(activation)
    else:
        result = network.define(instruction.output)
    element = network.grid(instruction.output).element
    network.operator(builtin, [source], result, options(*_POOL, fields), element)
    if clamped:
        network.finish(instruction, result)


def _concat(network: Network, instruction: Instruction) -> None:
    rank = len(network.program.tensors[instruction.output].shape)
    axis = stored_axes(rank).index(_one(instruction, "axis"))
    network.operator(
        Builtin.CONCATENATION,
        [network.writer.index(name) for name in instruction.inputs],
        network.define(instruction.output),
        options(*_CONCATENATION, {0: _int(axis)}),
        network.grid(instruction.output).element,
        rank,
    )


def _pad(network: Network, instruction: Instruction) -> None:
    pads = _many(instruction, "pads")
    rank = len(pads) // 2
    if rank > 5:
        raise refuse(instruction.name, f"pads {rank} axes, and TFLite at most 5")
    axes = stored_axes(rank)
    stored = (*(pads[axis] for axis in axes), *(pads[rank + axis] for axis in axes))
    network.pad(instruction.output, instruction.inputs[0], stored, _one(instruction, "value"))


def _slice(network: Network, instruction: Instruction) -> None:
    shape = network.program.tensors[instruction.inputs[0]].shape
    rank = len(shape)
    if rank > 5:
        raise refuse(instruction.name, f"slices a tensor of {rank} axes, and TFLite at most 5")
    begins, ends, steps = [0] * rank, [0] * rank, [1] * rank
    whole = set(range(rank))
    open_end = set(whole)
    keys = ("axes", "starts", "ends", "steps")
    for axis, start, end, step in zip(*(_many(instruction, key) for key in keys), strict=True):
        size = shape[axis] or 1
        chosen = range(*slice(start, end if end >= -(1 << 31) else None, step).indices(size))
        begins[axis], steps[axis] = chosen.start, step
        whole.discard(axis)
        if chosen.stop >= 0:
            ends[axis] = chosen.stop
            open_end.discard(axis)
    axes = stored_axes(rank)
    prefix = instruction.name
    inputs = [network.writer.index(instruction.inputs[0])]
    for key, values in (("begin", begins), ("end", ends), ("steps", steps)):
        inputs.append(network.integers(f"{prefix}/{key}", [values[axis] for axis in axes]))
    masks = [
        sum(1 << place for place, axis in enumerate(axes) if axis in chosen)
        for chosen in (whole, open_end)
    ]
    network.operator(
        Builtin.STRIDED_SLICE,
        inputs,
        network.define(instruction.output),
        options(*_STRIDED_SLICE, {0: _int(masks[0]), 1: _int(masks[1])}),
        network.grid(instruction.output).element,
        rank,
    )


def _reshape(network: Network, instruction: Instruction) -> None:
    """Write a RESHAPE between two TRANSPOSEs, where the order of an image's codes matters."""
    source, target = instruction.inputs[0], instruction.output
    before, after = (network.program.tensors[name].shape for name in (source, target))
    index = network.writer.index(source)
    if len(before) == 4 and _reorders(before):
        index = network.transposed(f"{target}/nchw", index, source, before, nhwc=False)
    last = len(after) == 4 and _reorders(after)
    result = (
        network.temporary(f"{target}/reshaped", target, after)
        if last
        else network.define(target)
    )
    stored = after if last else stored_shape(after)
    wanted = (-1, *(size or 1 for size in stored[1:]))
    _reshaped(network, index, result, wanted, network.grid(target).element)
    if last:
        network.transposed(target, result, target, after, nhwc=True)


def _reorders(shape: tuple[int | None, ...]) -> bool:
    """Return whether [N, C, H, W] and [N, H, W, C] are different orders of the codes."""
    return shape[1] != 1 and (shape[2], shape[3]) != (1, 1)


def _softmax(network: Network, instruction: Instruction) -> None:
    rank = len(network.program.tensors[instruction.output].shape)
    if stored_axes(rank)[-1] != _one(instruction, "axis"):
        raise refuse(
            instruction.name,
            f"is a softmax along axis {_one(instruction, 'axis')}, and TFLite's runs along the channels",
        )
    network.operator(
        Builtin.SOFTMAX,
        [network.writer.index(instruction.inputs[0])],
        network.define(instruction.output),
        options(*_SOFTMAX, {0: Scalar("float32", 1.0)}),
        network.grid(instruction.output).element,
        rank,
    )


_WRITERS: dict[str, Callable[[Network, Instruction], None]] = {
    "conv2d": _conv2d,
    "gemm": _gemm,
    "add": _add,
    "requantize": _requantize,
    "mean_pool": _mean_pool,
    "max_pool": _max_pool,
    "concat": _concat,
    "pad": _pad,
    "slice": _slice,
    "reshape": _reshape,
    "softmax_fixed": _softmax,
    "transpose": write_transpose,
    "gather": write_gather,
    "multiply": write_multiply,
    "matmul": write_matmul,
    "lookup": write_lookup,
    "lookup_channels": write_lookup,
    "lookup_interpolated": write_lookup,
    "constant": write_constant,
}
