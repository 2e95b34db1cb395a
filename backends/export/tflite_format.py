"""`tflite`: a complete .tflite file with integer operators only; `backends/export/tflite` writes it."""

from __future__ import annotations

from intlower.backends.export.format import Files, Format
from intlower.backends.export.tflite import FILE_NAME, export_tflite
from intlower.compiler.program import IntegerProgram


def _write(program: IntegerProgram) -> Files:
    return export_tflite(program)


FORMAT = Format(
    name="tflite",
    meaning="LiteRT, TFLite Micro, CMSIS-NN: a flatbuffer with integer operators only",
    expresses="programs of the target litert: TFLite's own arithmetic",
    write=_write,
    files={FILE_NAME: "the network; images are NHWC, inputs and outputs are codes"},
    commands=lambda program: (
        f'python -c "from ai_edge_litert.interpreter import Interpreter; '
        f"Interpreter('{FILE_NAME}').allocate_tensors()\"",
        f"xxd -i {FILE_NAME} > model.cc    # for TFLite Micro",
    ),
    notes=(
        "Everything is public fact: the TFLite quantization specification and schema.",
        "LiteRT's reference kernels give this program's integers; XNNPACK, its default, rescales in float32 and may "
        "differ by a step.",
    ),
)
