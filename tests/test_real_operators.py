"""A published network of newer blocks, HardSwish and squeeze-and-excitation gates among them, in integers throughout."""

from __future__ import annotations

import numpy as np
import pytest
from shared_data import model_path, needs_shared_data

from intlower.compiler.crosscheck import random_inputs, verify
from intlower.compiler.pipeline import compile_model


@needs_shared_data
@pytest.mark.crosscheck
@pytest.mark.parametrize("target", ["tensorrt", "snpe"])
def test_a_text_direction_network_agrees_to_the_bit(target: str) -> None:
    generator = np.random.default_rng(0)
    samples = {"x": generator.uniform(-1, 1, (4, 3, 48, 96)).astype(np.float32)}
    program = compile_model(
        model_path("ppocr_mobile_v2_cls"),
        target=target,
        samples=samples,
        shapes={"x": (None, 3, 48, 96)},
    )
    operators = {made.kernel.operator for made in program.instructions}
    assert {"lookup", "multiply"} <= operators
    for comparison in verify(program, random_inputs(program, 2)).values():
        assert comparison.compared > 0
        assert comparison.mismatches == 0
