from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import small_programs
from export_reading import shifted, weighted, with_grid
from google.protobuf import text_format
from small_programs import grid
from text_messages import AMCT

from intlower.backends.export import ascend
from intlower.backends.export.registry import export_files
from intlower.compiler.errors import ExportError
from intlower.kernels.signature import ElementType


def test_ascend_records_read_back_in_protobufs_parser() -> None:
    program = small_programs.classifier()
    program = with_grid(program, "image", shifted(program.tensors["image"].grid, 3))
    text = export_files(program, "ascend")["record.txt"].decode()
    records = text_format.Parse(text, AMCT["ScaleOffsetRecord"]()).record
    assert [record.key for record in records] == ["conv", "classify"]
    for record, instruction in zip(records, weighted(program), strict=True):
        source, weights = program.tensors[instruction.inputs[0]].grid, instruction.weight_grid
        assert weights is not None
        assert np.float32(record.value.scale_d) == source.scale.array
        assert record.value.offset_d == source.zero_point
        stored = np.array(record.value.scale_w, np.float32)
        assert np.array_equal(stored, weights.scale.array.reshape(-1))
        assert list(record.value.offset_w) == [0] * stored.size


@pytest.mark.parametrize("key", ['a"b', "back\\slash", "é\n", "\\303"])
def test_ascend_keys_survive_quoting(key: str) -> None:
    text = ascend.record_text(
        [ascend.Record(key=key, scale_d=1e-7, offset_d=-128, scale_w=[0.1])]
    )
    record = text_format.Parse(text, AMCT["ScaleOffsetRecord"]()).record[0]
    assert record.key == key
    assert np.float32(record.value.scale_d) == np.float32(1e-7)


def test_ascend_refuses_unsigned_weights_and_extreme_scales() -> None:
    program = small_programs.classifier()
    conv = program.instructions[0]
    assert conv.weight_grid is not None
    moved = replace(conv, weight_grid=shifted(conv.weight_grid, 3))
    with pytest.raises(ExportError, match="'conv' has int8 weights with zero point 3"):
        export_files(
            replace(program, instructions=(moved, *program.instructions[1:])), "ascend"
        )
    program = with_grid(program, "image", grid(1e-9, ElementType.INT8))
    with pytest.raises(ExportError, match="'conv' has scales 1e-09 to"):
        export_files(program, "ascend")
