"""ONNX with QuantizeLinear and DequantizeLinear: the exchange format of integer networks.

Every float operator stands between a DequantizeLinear of its inputs and a QuantizeLinear of its output, on the program's own
grids; a runtime fuses such a group into one integer kernel, with a requantization of its own. So the file carries the
grids, not the target's rounding: another runtime's integers may differ from the program's by a step.

A clamp inside the output's grid follows as a group of its own, Q -> DQ -> Relu -> Q, on one grid: onnxruntime fuses
Conv -> Q, but not Conv -> Relu -> Q with signed codes (measured with 1.31.1), and the result is the same.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from intlower.backends.export.qdq_extended import write_extended
from intlower.backends.export.qdq_graph import QdqGraph, to_unsigned
from intlower.compiler.errors import ExportError
from intlower.compiler.grids import ChannelGrid, uniform
from intlower.compiler.program import Instruction, IntegerProgram, Tensor
from intlower.kernels.signature import ElementType

Codes = NDArray[Any]

_OPSET, _IR_VERSION = 17, 8
# 16-bit codes came to QuantizeLinear with opset 21.
_OPSET_16_BIT, _IR_VERSION_16_BIT = 21, 10
_EIGHT_BITS = (ElementType.INT8, ElementType.UINT8)


def to_qdq(
    program: IntegerProgram,
    *,
    integer_edges: bool = False,
    unsigned: bool = False,
    float_bias: bool = False,
    every_tensor: bool = False,
) -> onnx.ModelProto:
    """Return a program as an ONNX model of float operators between quantizers.

    Args:
        program: what to write.
        integer_edges: graph inputs and outputs are the integer tensors, without the host steps; otherwise they are
            float32, and host steps are the model's last nodes.
        unsigned: store signed activations as unsigned codes of the same reals (`to_unsigned`), at the edges too. On
            x86, onnxruntime fuses all of them, and of signed ones only some (measured with 1.31.1).
        float_bias: store biases as float32, not as int32 codes: TensorRT's parser takes no DequantizeLinear of int32
            (onnx/onnx-tensorrt issue 850).
        every_tensor: with integer edges, the codes of every tensor that an instruction defines are outputs, to find
            where another runtime differs first.

    Returns:
        A model with the program's names; the same program gives the same bytes.
    """
    results = [instruction.output for instruction in program.instructions]
    exposed = results if every_tensor else program.outputs
    writer = QdqGraph(
        values=[*program.tensors, *(step.output for step in program.host)],
        nodes=[instruction.name for instruction in program.instructions],
        exposed=exposed if integer_edges else (),
        unsigned=unsigned,
        float_bias=float_bias,
    )
    for name in program.inputs:
        writer.input(program.tensors[name], integer=integer_edges)
    for instruction in program.instructions:
        write_instruction(writer, program, instruction)
    if integer_edges:
        inputs = [_integer_edge(program.tensors[name], unsigned) for name in program.inputs]
        outputs = [_integer_edge(program.tensors[name], unsigned) for name in exposed]
    else:
        inputs = [real_edge(program.tensors[name], name) for name in program.inputs]
        outputs = write_real_outputs(writer, program)
    elements = {tensor.grid.element for tensor in program.tensors.values()}
    elements |= {i.weight_grid.element for i in program.instructions if i.weight_grid}
    wide = not elements <= set(_EIGHT_BITS)
    return helper.make_model(
        helper.make_graph(
            writer.nodes, program.target, inputs, outputs, initializer=writer.initializers
        ),
        opset_imports=[helper.make_opsetid("", _OPSET_16_BIT if wide else _OPSET)],
        ir_version=_IR_VERSION_16_BIT if wide else _IR_VERSION,
        producer_name="intlower",
    )


def _integer_edge(tensor: Tensor, unsigned: bool) -> onnx.ValueInfoProto:
    codes = np.zeros(0, tensor.grid.dtype)
    return _edge(tensor, tensor.name, (to_unsigned(codes) if unsigned else codes).dtype)


def real_edge(tensor: Tensor, name: str) -> onnx.ValueInfoProto:
    """Return the declaration of a graph input or output of reals."""
    return _edge(tensor, name, np.dtype(np.float32))


def _edge(tensor: Tensor, name: str, dtype: np.dtype[Any]) -> onnx.ValueInfoProto:
    shape = ["N" if size is None else size for size in tensor.shape]
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)


def write_real_outputs(writer: QdqGraph, program: IntegerProgram) -> list[onnx.ValueInfoProto]:
    """Write what follows the last integers: dequantizers of the outputs, or the host steps on them."""
    steps = {step.input: step for step in program.host}
    outputs = []
    for name in program.outputs:
        tensor = program.tensors[name]
        if name in steps:
            step = steps[name]
            writer.add(step.operator, [writer.real(tensor)], step.output, axis=step.axis)
            outputs.append(real_edge(tensor, step.output))
        else:
            writer.dequantize(tensor, name)
            outputs.append(real_edge(tensor, name))
    return outputs


def write_instruction(
    writer: QdqGraph, program: IntegerProgram, instruction: Instruction
) -> None:
    """Write one instruction as a float operator, a clamp where it has one, and the quantizer of its output."""
    output = program.tensors[instruction.output]
    inputs = [writer.real(program.tensors[name]) for name in instruction.inputs]
    attributes = instruction.attributes
    name = instruction.name
    result = writer.fresh(f"{output.name}/computed")
    match instruction.kernel.operator:
        case "conv2d" | "saturating_conv2d" | "asymmetric_conv2d":
            weights = instruction.constants["weights"].array
            inputs += _write_weights(writer, program, instruction)
            writer.add(
                "Conv",
                inputs,
                result,
                name=name,
                kernel_shape=list(weights.shape[2:]),
                strides=attributes["strides"],
                pads=attributes["pads"],
                dilations=attributes["dilations"],
                group=attributes["groups"],
            )
        case "gemm" | "saturating_gemm" | "asymmetric_gemm":
            inputs += _write_weights(writer, program, instruction)
            writer.add("Gemm", inputs, result, name=name, transB=1)
        case "add":
            writer.add("Add", inputs, result, name=name)
        case "average_pool":
            _write_average_pool(writer, program, instruction, inputs[0], result)
        case "mean_pool":
            window = ("kernel_shape", "strides", "pads", "dilations")
            chosen = {key: attributes[key] for key in window[:3]}
            writer.add("AveragePool", inputs, result, name=name, **chosen)
        case "max_pool":
            window = ("kernel_shape", "strides", "pads", "dilations")
            chosen = {key: attributes[key] for key in window}
            writer.add("MaxPool", inputs, result, name=name, **chosen)
        case "concat":
            writer.add("Concat", inputs, result, name=name, axis=attributes["axis"])
        case "pad":
            pads = writer.constant(f"{name}/pads", np.array(attributes["pads"], np.int64))
            border = output.grid.dequantize(attributes["value"])
            value = writer.constant(f"{name}/value", border)
            writer.add("Pad", [*inputs, pads, value], result, name=name)
        case "slice":
            keys = ("starts", "ends", "axes", "steps")
            limits = [
                writer.constant(f"{name}/{key}", np.array(attributes[key], np.int64))
                for key in keys
            ]
            writer.add("Slice", [*inputs, *limits], result, name=name)
        case "reshape":
            shape = writer.constant(f"{name}/shape", np.array(attributes["shape"], np.int64))
            writer.add("Reshape", [*inputs, shape], result, name=name)
        case "softmax" | "softmax_fixed":
            writer.add("Softmax", inputs, result, name=name, axis=attributes["axis"])
        case "requantize" | "convert":
            result = inputs[0]  # the output's quantizer is all of it
        case other:
            if not write_extended(writer, program, instruction, inputs, result):
                raise ExportError(
                    f"{name!r} is a {other}, which has no float form here yet",
                    "the formats 'c' and 'json' hold it",
                )
    _write_output(writer, instruction, output, result)


def _write_output(
    writer: QdqGraph, instruction: Instruction, tensor: Tensor, result: str
) -> None:
    """Quantize a result; a clamp tighter than the stored type runs between two quantizers of the same grid."""
    bounds = _clamp(instruction)
    if bounds is None:
        writer.quantize(tensor, result)
        return
    least, greatest = tensor.grid.element.limits
    low, high = bounds
    zero_point = uniform(tensor.grid, tensor.name).zero_point
    rectifies = not writer.saturates and (low == zero_point).all()
    if (low <= least).all() and (high >= greatest).all() and not rectifies:
        writer.quantize(tensor, result)
        return
    rounded = writer.requantized(tensor, result)
    clamped = writer.fresh(f"{tensor.name}/clamped")
    _write_clamp(writer, tensor, rounded, clamped, low, high, f"{instruction.name}/clamp")
    writer.quantize(tensor, clamped)


def _write_clamp(
    writer: QdqGraph,
    tensor: Tensor,
    source: str,
    clamped: str,
    low: Codes,
    high: Codes,
    name: str,
) -> None:
    """Write a limit of reals to those of the codes low and high: Relu, Clip, or Max and Min where channels differ."""
    grid = uniform(tensor.grid, tensor.name)
    if (low == grid.zero_point).all() and (high >= grid.element.limits[1]).all():
        writer.add("Relu", [source], clamped)
        return
    minimum, maximum = grid.dequantize(low), grid.dequantize(high)
    if np.unique(minimum).size == 1 and np.unique(maximum).size == 1:
        limits = [
            writer.constant(f"{name}/minimum", minimum[0]),
            writer.constant(f"{name}/maximum", maximum[0]),
        ]
        writer.add("Clip", [source, *limits], clamped)
        return
    # Two groups, each between quantizers, with limits that are codes too: what runs integers only has no other Max and Min.
    least, greatest = grid.element.limits
    shape = [-1, *[1] * (len(tensor.shape) - 2)]
    raises = low > least if writer.saturates else (low > least) | (low == grid.zero_point)
    sides = (("Max", "minimum", low, raises), ("Min", "maximum", high, high < greatest))
    needed = [(operator, side, codes) for operator, side, codes, binds in sides if binds.any()]
    for position, (operator, side, codes) in enumerate(needed):
        within = np.clip(codes, least, greatest).astype(grid.dtype).reshape(shape)
        limit = writer.constant_real(tensor, f"{name}/{side}", within)
        last = position == len(needed) - 1
        result = clamped if last else writer.fresh(f"{tensor.name}/raised")
        writer.add(operator, [source, limit], result)
        source = result if last else writer.requantized(tensor, result)


def _clamp(instruction: Instruction) -> tuple[Codes, Codes] | None:
    """Return an instruction's least and greatest output codes, [1] or [O]; None where it has no clamp."""
    if "minimum" in instruction.constants:
        constants = instruction.constants
        return constants["minimum"].array, constants["maximum"].array
    if "minimum" in instruction.attributes:
        limits = instruction.attributes
        return np.atleast_1d(limits["minimum"]), np.atleast_1d(limits["maximum"])
    return None


def _write_weights(
    writer: QdqGraph, program: IntegerProgram, instruction: Instruction
) -> list[str]:
    """Write weight codes and bias codes with their dequantizers; return the names of the reals.

    The bias is in units of input scale times weight scale, as QLinearConv takes it.
    """
    assert instruction.weight_grid is not None  # the schema of weighted kernels proves it
    grid = instruction.weight_grid
    if not isinstance(grid, ChannelGrid):
        grid = uniform(grid, instruction.name)
    source = uniform(program.tensors[instruction.inputs[0]].grid, instruction.inputs[0])
    outputs = len(instruction.constants["bias"].array)
    if isinstance(grid, ChannelGrid):
        zero_point = grid.offsets.astype(grid.dtype)
    else:
        zero_point = np.array(grid.zero_point, grid.dtype)
        if grid.axis is not None:
            zero_point = np.full(outputs, zero_point)
    bias_scale = source.scale.array * grid.scale.array
    return [
        writer.dequantized_constant(
            f"{instruction.name}/weights",
            instruction.constants["weights"].array,
            grid.scale.array,
            zero_point,
        ),
        writer.bias(
            f"{instruction.name}/bias",
            instruction.constants["bias"].array,
            bias_scale.astype(np.float32),
        ),
    ]


def window_shares(program: IntegerProgram, instruction: Instruction) -> NDArray[np.float64]:
    """Return what each window's mean is multiplied by, beside 1 / area: [OH, OW] or [1, 1].

    1 where a window divides by its area, area / count where it divides by a count of its own. What a window divides by
    is in its multiplier: input scale / (output scale * count).
    """
    source, target = program.tensors[instruction.inputs[0]], program.tensors[instruction.output]
    multiplier = instruction.constants["multiplier"].array.astype(np.float64)
    scale = np.ldexp(multiplier, -instruction.constants["shift"].array)
    ratio = uniform(source.grid, source.name).step / uniform(target.grid, target.name).step
    kernel = instruction.attributes["kernel_shape"]
    assert isinstance(kernel, tuple)
    shares = scale * math.prod(kernel) / ratio
    # A multiplier has 24 bits and more.
    return np.where(np.isclose(shares, 1, rtol=1e-5), 1.0, shares)


def _write_average_pool(
    writer: QdqGraph, program: IntegerProgram, instruction: Instruction, x: str, result: str
) -> None:
    """Write a mean, and a multiplication where windows divide by counts of their own."""
    source, target = program.tensors[instruction.inputs[0]], program.tensors[instruction.output]
    kernel, strides, pads = (
        np.array(instruction.attributes[key]) for key in ("kernel_shape", "strides", "pads")
    )
    share = window_shares(program, instruction)
    whole = bool((share == 1).all())
    name = instruction.name
    if whole and not pads.any() and tuple(kernel) == source.shape[2:]:
        writer.add("GlobalAveragePool", [x], result, name=name)
        return
    mean = result if whole else writer.fresh(f"{target.name}/mean")
    writer.add(
        "AveragePool",
        [x],
        mean,
        name=name,
        kernel_shape=kernel.tolist(),
        strides=strides.tolist(),
        pads=pads.tolist(),
        count_include_pad=1,
    )
    if mean != result:
        weight = writer.constant(f"{name}/share", share[None, None].astype(np.float32))
        writer.add("Mul", [mean, weight], result)
