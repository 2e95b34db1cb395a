"""`ristretto`: a Caffe network whose layers carry quantization_param.

Source: pmgysel/caffe src/caffe/proto/caffe.proto, message QuantizationParameter: value = code * 2**-fl. Layers with weights only:
ConvolutionRistretto and FcRistretto; the other layers keep the grid of their input. Minifloats have mant_bits and exp_bits, and
the exponent bias 2**(exp_bits - 1) - 1.
"""

from __future__ import annotations

from intlower.backends.export.caffe import (
    Block,
    Layer,
    Word,
    caffe_layers,
    caffemodel,
    prototxt,
)
from intlower.backends.export.format import (
    Files,
    Format,
    bits_of,
    grid_of,
    power_of_two,
    refuse,
    require_bits,
    require_per_tensor,
    require_symmetric,
    weight_grid_of,
)
from intlower.compiler.grids import MinifloatGrid, UniformGrid
from intlower.compiler.program import Instruction, IntegerProgram

NAME = "ristretto"
_TYPES = {"Convolution": "ConvolutionRistretto", "InnerProduct": "FcRistretto"}


def _quantized(program: IntegerProgram, layer: Layer) -> tuple[str, Block]:
    """Return the type of a layer and its quantization_param."""
    instruction = layer.real.product if layer.real is not None else None
    if instruction is None or instruction.weight_grid is None:
        return layer.type, {}
    parameters: Block
    if isinstance(instruction.weight_grid, MinifloatGrid):
        rule = instruction.weight_grid.rule
        parameters = {
            "precision": Word("MINIFLOAT"),
            "rounding_scheme": Word("NEAREST"),
            "mant_bits": rule.mantissa_bits,
            "exp_bits": rule.exponent_bits,
        }
    else:
        parameters = _fixed_point(program, instruction)
    return _TYPES[layer.type], {"quantization_param": parameters}


def _fixed_point(program: IntegerProgram, instruction: Instruction) -> Block:
    source = grid_of(program, instruction.inputs[0])
    target = grid_of(program, instruction.output)
    return {
        "precision": Word("DYNAMIC_FIXED_POINT"),
        "rounding_scheme": Word("NEAREST"),
        "bw_layer_in": bits_of(source),
        "bw_layer_out": bits_of(target),
        "bw_params": bits_of(weight_grid_of(instruction)),
        "fl_layer_in": power_of_two(NAME, instruction.inputs[0], source),
        "fl_layer_out": power_of_two(NAME, instruction.output, target),
        "fl_params": power_of_two(NAME, instruction.name, weight_grid_of(instruction)),
    }


def _require_fixed_point(program: IntegerProgram) -> None:
    """Refuse what dynamic fixed point cannot hold."""
    require_bits(NAME, program, 8, 16)
    require_symmetric(NAME, program)
    require_per_tensor(NAME, program)
    for name, tensor in program.tensors.items():
        power_of_two(NAME, name, tensor.grid)


def _require_published(program: IntegerProgram) -> None:
    """Refuse minifloats whose exponent bias is not that of the published layout."""
    for name, tensor in program.tensors.items():
        grid = tensor.grid
        if isinstance(grid, MinifloatGrid) and grid != MinifloatGrid.published(grid.rule):
            refuse(
                NAME,
                name,
                f"has the exponent bias {grid.exponent_bias}, and Ristretto's is "
                f"{MinifloatGrid.published(grid.rule).exponent_bias} everywhere",
                "compile with ranges=published",
            )


def _write(program: IntegerProgram) -> Files:
    if any(isinstance(tensor.grid, MinifloatGrid) for tensor in program.tensors.values()):
        _require_published(program)
    else:
        _require_fixed_point(program)
    layers = caffe_layers(NAME, program)
    text = prototxt(program.target, layers, lambda layer: _quantized(program, layer))
    return {
        "quantized.prototxt": text.encode("ascii"),
        "float.prototxt": prototxt(program.target, layers).encode("ascii"),
        "weights.caffemodel": caffemodel(program.target, layers),
    }


FORMAT = Format(
    name=NAME,
    meaning="Ristretto (Caffe): dynamic fixed point or minifloats in the prototxt",
    expresses="one power-of-two scale for each tensor, or one layout of minifloats; layers of Caffe, ReLU as the only limit",
    write=_write,
    grids=(UniformGrid, MinifloatGrid),
    files={
        "quantized.prototxt": "layers with quantization_param",
        "float.prototxt": "the same network in float",
        "weights.caffemodel": "the reals of the program's weight and bias codes",
    },
    commands=lambda program: (
        "caffe test -model quantized.prototxt -weights weights.caffemodel -iterations 100",
    ),
    notes=(
        "The prototxt has an Input layer; put your data layer in its place for `caffe test`.",
        "Ristretto rounds biases to the format of the weights and runs in float32 between; where the program's biases are wider, "
        "its results differ.",
        "Its CPU rounds ties away from 0, its GPU to even.",
        "Of minifloats it has one number more, 2**-bias, which is 0 here; and layers without weights stay in float32 there.",
    ),
)
