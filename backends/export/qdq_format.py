"""`qdq`: the ONNX model of quantizers and float operators that most runtimes read."""

from __future__ import annotations

from intlower.backends.export.format import Files, Format, model_bytes, shape_of
from intlower.backends.export.qdq import to_qdq
from intlower.compiler.grids import ChannelGrid, UniformGrid
from intlower.compiler.program import IntegerProgram


def _write(program: IntegerProgram) -> Files:
    return {
        "model.qdq.onnx": model_bytes(to_qdq(program)),
        "model.integer.qdq.onnx": model_bytes(to_qdq(program, integer_edges=True)),
    }


def _commands(program: IntegerProgram) -> tuple[str, ...]:
    shapes = " ".join(shape_of(program.tensors[name].shape) for name in program.inputs)
    return (
        "python -c \"import onnxruntime; onnxruntime.InferenceSession('model.qdq.onnx')\"",
        f"benchmark_app -m model.qdq.onnx -shape [{shapes}]",
    )


FORMAT = Format(
    name="qdq",
    meaning="ONNX with QuantizeLinear and DequantizeLinear: onnxruntime, OpenVINO, QNN and others",
    expresses="programs with uniform grids, all but local response normalizations",
    grids=(UniformGrid, ChannelGrid),
    write=_write,
    files={
        "model.qdq.onnx": "float32 in and out, opset 17 (21 with 16-bit codes)",
        "model.integer.qdq.onnx": "the same with integer codes in and out",
    },
    commands=_commands,
    notes=(
        "The grids are the program's; how a runtime rounds between them is its own, so its integers may differ by a step. "
        "`intlower verify --against onnxruntime-qdq,openvino` counts by how many.",
    ),
)
