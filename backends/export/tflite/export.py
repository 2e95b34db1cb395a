"""`tflite`: a program for `litert` as a complete .tflite file."""

from __future__ import annotations

from intlower.backends.export.tflite.network import Network
from intlower.backends.export.tflite.operators import write_instruction
from intlower.compiler.errors import ExportError
from intlower.compiler.program import IntegerProgram

FILE_NAME = "model.tflite"


def export_tflite(program: IntegerProgram) -> dict[str, bytes]:
    """Return the file of a program, by path.

    Images are [N, H, W, C] in the file, [N, C, H, W] in the program; tensors of any other rank are as they are. A free
    batch is stored as 1, with -1 in the shape's signature. Inputs and outputs are codes; tensors keep their names, and
    are also those of the signature `serving_default`. Steps that the program leaves to the host are not in the file.

    Raises:
        ExportError: the program has another target's arithmetic, or TFLite cannot express an instruction; it is named.
    """
    if program.target.partition(":")[0] != "litert":
        raise ExportError(
            f"tflite: the program has the arithmetic of {program.target!r}, and the format that of 'litert'",
            "compile the model with --target litert",
        )
    network = Network(program)
    for instruction in program.instructions:
        write_instruction(network, instruction)
    data = network.writer.encode(
        program.inputs, program.outputs, f"intlower, target {program.target}"
    )
    return {FILE_NAME: data}
