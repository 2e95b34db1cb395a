"""HiSilicon NNIE: the parameter dictionary of quantization and the mapper's configuration, as text.

Sources: ModelTC/MQBench mqbench/deploy/deploy_nnie.py (NAME_gfpq_param_dict.json) and docs nnie.rst: a clip c is allowed where
16 * log2(c) is an integer; HiSilicon's public mapper configurations for the keys in brackets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from intlower.backends.export.format import json_bytes, refuse

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
            "compile for a target with logarithmic grids",
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
