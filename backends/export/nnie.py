"""`nnie`: a Caffe network, the parameter dictionary of its quantization and the configuration of HiSilicon's mapper.

Sources: ModelTC/MQBench mqbench/deploy/deploy_nnie.py (NAME_gfpq_param_dict.json) and docs nnie.rst: a clip c is allowed where
16 * log2(c) is an integer; HiSilicon's public mapper configurations for the keys in brackets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from intlower.backends.export.caffe import caffe_layers, caffemodel, prototxt
from intlower.backends.export.format import Files, Format, json_bytes, refuse
from intlower.backends.export.real_layers import real_layers
from intlower.compiler.grids import LogGrid, UniformGrid
from intlower.compiler.program import IntegerProgram

NAME = "nnie"
_STEPS_PER_OCTAVE = 16
# Sixteenths of an octave of clips from 2**-16 to 2**16; beyond, 20.12 numbers hold no level.
_LARGEST_POSITION = 256
# float32 rounds a clip by 2**-25 relative, that is by less than 1e-6 of a step.
_TOLERANCE = 1e-5


def param_dict(clips: Mapping[str, Sequence[float]]) -> bytes:
    """Return the text of gfpq_param_dict.json.

    Args:
        clips: for each layer, the clip of every input, in order: the greatest level, a power of 2**(1/16).

    Raises:
        ExportError: a clip is none; the layer is named.
    """
    for layer, values in clips.items():
        for clip in values:
            position(layer, clip)
    return json_bytes(
        {NAME: {"gfpq_param_dict": {layer: list(values) for layer, values in clips.items()}}}
    )


def position(layer: str, clip: float) -> int:
    """Return 16 * log2 of a clip.

    Raises:
        ExportError: it is not an integer from -256 to 256.

    >>> position("conv", 2.8284271)
    24
    """
    exact = (
        _STEPS_PER_OCTAVE * math.log2(clip) if clip > 0 and math.isfinite(clip) else math.nan
    )
    if not abs(exact) <= _LARGEST_POSITION or abs(exact - round(exact)) > _TOLERANCE:
        refuse(
            NAME,
            layer,
            f"has the clip {clip:.9g}, not a power of 2**(1/16)",
            "compile for the target 'nnie', whose clips of 8 bits are",
        )
    return round(exact)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapperConfig:
    """What nnie_mapper is told.

    Attributes:
        prototxt_file: of the network.
        caffemodel_file: of its weights.
        image_list: a text file with one input for each line.
        instruction_name: of the .wk file to write.
        high_precision: 16-bit codes, else 8-bit ones.
        image_type: 0 for arrays of numbers, 1 for images (U8), 3, 5: YUV420, YUV422.
        data_scale: what an input number is multiplied by.
        norm_type: 0 for none, 1 mean file, 2 channel mean, 3 data_scale, 4 and 5 mean and data_scale.
    """

    prototxt_file: str
    caffemodel_file: str
    image_list: str
    instruction_name: str
    high_precision: bool = False
    image_type: int = 1
    data_scale: float = 1.0
    norm_type: int = 0


def mapper_config(config: MapperConfig) -> str:
    """Return the text of the mapper's .cfg: one [key] and value for each line."""
    fields = {
        "prototxt_file": config.prototxt_file,
        "caffemodel_file": config.caffemodel_file,
        "batch_num": 1,
        "net_type": 0,
        "sparse_rate": 0,
        "compile_mode": int(config.high_precision),
        "is_simulation": 0,
        "log_level": 0,
        "instruction_name": config.instruction_name,
        "RGB_order": "RGB",
        "data_scale": f"{config.data_scale:.7g}",
        "internal_stride": 16,
        "image_list": config.image_list,
        "image_type": config.image_type,
        "mean_file": "null",
        "norm_type": config.norm_type,
    }
    return "".join(f"[{key}] {value}\n" for key, value in fields.items())


def clips(program: IntegerProgram) -> dict[str, list[float]]:
    """Return the clip of every input that a layer reads as codes, in order, by layer."""
    found = {}
    for layer in real_layers(program):
        grids = [program.tensors[name].grid for name in layer.codes if name]
        values = [grid.clip for grid in grids if isinstance(grid, LogGrid)]
        if values:
            found[layer.name] = values
    return found


def _write(program: IntegerProgram) -> Files:
    for name in program.inputs:
        grid = program.tensors[name].grid
        if not isinstance(grid, LogGrid):
            refuse(
                NAME,
                name,
                f"is on a {grid.kind} grid, and NNIE takes logarithmic codes",
                "compile for the target 'nnie'",
            )
    parameters = param_dict(clips(program))
    layers = caffe_layers(NAME, program)
    config = MapperConfig(
        prototxt_file="net.prototxt",
        caffemodel_file="net.caffemodel",
        image_list="inputs.txt",
        instruction_name="net",
        image_type=0,
    )
    return {
        "net.prototxt": prototxt(program.target, layers).encode("ascii"),
        "net.caffemodel": caffemodel(program.target, layers),
        "net_gfpq_param_dict.json": parameters,
        "net.cfg": mapper_config(config).encode("ascii"),
    }


FORMAT = Format(
    name=NAME,
    meaning="HiSilicon NNIE: Caffe network, gfpq_param dictionary, mapper configuration",
    expresses="8-bit logarithmic grids; layers of Caffe, ReLU as the only limit",
    write=_write,
    files={
        "net.prototxt": "the network",
        "net.caffemodel": "the reals of the program's weight and bias codes",
        "net_gfpq_param_dict.json": "the clip of every layer's inputs, as MQBench writes it",
        "net.cfg": "configuration of nnie_mapper",
    },
    commands=lambda program: (
        "ls -1 inputs/*.txt > inputs.txt      # calibration inputs, numbers as text, one file for each sample",
        "nnie_mapper_12 net.cfg               # of your SDK; writes net_inst.wk",
    ),
    notes=(
        "The mapper chooses the clip of weights itself, by the greatest weight; the weights here are levels of the program's "
        "grids, so none is beyond its clip.",
        "It has its own calibration; net_gfpq_param_dict.json is for a mapper that is given clips (gfpq_param_table_8bit).",
        "What NNIE computes between codes is not published: the program's integers are a definition of intlower's.",
    ),
    characters=r"[A-Za-z0-9_./-]",
    grids=(UniformGrid, LogGrid),
)
