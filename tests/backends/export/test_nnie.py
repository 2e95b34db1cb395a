from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intlower.backends.export.nnie import MapperConfig, mapper_config, param_dict, position
from intlower.compiler.errors import ExportError


@given(st.dictionaries(st.text(max_size=5), st.lists(st.integers(-256, 256), max_size=3)))
def test_clips_read_back_as_they_were(positions: dict[str, list[int]]) -> None:
    clips = {layer: [2 ** (k / 16) for k in values] for layer, values in positions.items()}
    stored = json.loads(param_dict(clips))["nnie"]["gfpq_param_dict"]
    assert stored == clips
    assert {
        layer: [position(layer, c) for c in cs] for layer, cs in stored.items()
    } == positions


def test_the_clips_of_the_public_example_are_allowed() -> None:
    assert [position("Add_7", clip) for clip in (4.0, 2.8284271)] == [32, 24]


@pytest.mark.parametrize("clip", [3.0, 0.0, -1.0, float("nan"), float("inf"), 2.0**17, 2.828])
def test_other_clips_are_refused_with_the_layer(clip: float) -> None:
    with pytest.raises(ExportError, match="nnie: 'conv' has the clip"):
        param_dict({"conv": [2.0, clip]})


def test_the_mappers_configuration_has_one_key_a_line() -> None:
    text = mapper_config(
        MapperConfig(
            prototxt_file="net.prototxt",
            caffemodel_file="net.caffemodel",
            image_list="images.txt",
            instruction_name="net",
            high_precision=True,
            data_scale=1 / 255,
        )
    )
    fields = dict(line[1:].split("] ") for line in text.splitlines())
    assert fields["prototxt_file"] == "net.prototxt"
    assert fields["compile_mode"] == "1"
    assert float(fields["data_scale"]) == pytest.approx(1 / 255, rel=1e-6)
    assert fields["internal_stride"] == "16"
