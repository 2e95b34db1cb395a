"""`onnxruntime-qdq`: the exported Q/DQ model as onnxruntime's CPU runs it, with its optimizations and without any."""

from __future__ import annotations

from functools import partial
from typing import Any

import onnxruntime

from intlower.backends.export.qdq import to_qdq
from intlower.compiler.errors import IntlowerError
from intlower.compiler.program import IntegerProgram
from intlower.witnesses.witness import Codes, Run, Variant, Witness, tensor_names


def open_session(model: bytes, options: Any, name: str, **arguments: Any) -> Any:
    """Return an onnxruntime session.

    Raises:
        IntlowerError: it cannot load the model.
    """
    try:
        return onnxruntime.InferenceSession(model, options, **arguments)
    except Exception as error:  # onnxruntime's own classes have no common public root
        raise IntlowerError(
            f"{name} cannot load the program: {error}", "leave this witness out of --against"
        ) from None


def _open(optimize: bool, program: IntegerProgram, every_tensor: bool) -> Run:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # The exact kernels: on x86 without VNNI the others saturate 16-bit sums.
    options.add_session_config_entry("session.x64quantprecision", "1")
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    )
    model = to_qdq(program, integer_edges=True, every_tensor=every_tensor)
    session = open_session(
        model.SerializeToString(), options, "onnxruntime", providers=["CPUExecutionProvider"]
    )
    names = tensor_names(program, every_tensor)

    def run(codes: Codes) -> Codes:
        return dict(zip(names, session.run(names, dict(codes)), strict=True))

    return run


WITNESS = Witness(
    name="onnxruntime-qdq",
    meaning="the exported Q/DQ model in onnxruntime on the CPU, optimizations on and off",
    modules=("onnxruntime",),
    install="pip install onnxruntime",
    variants=(
        Variant(name="onnxruntime-qdq", open=partial(_open, True)),
        Variant(name="onnxruntime-qdq-unoptimized", open=partial(_open, False)),
    ),
)
