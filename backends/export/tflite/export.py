"""`tflite`: a program with TFLite's arithmetic as a complete .tflite file."""

from __future__ import annotations

from intlower.backends.export.tflite.arithmetic import require_arithmetic
from intlower.backends.export.tflite.network import Network
from intlower.backends.export.tflite.operators import write_instruction
from intlower.compiler.program import IntegerProgram

FILE_NAME = "model.tflite"


def export_tflite(program: IntegerProgram) -> dict[str, bytes]:
    """Return the file of a program, by path.

    Images are [N, H, W, C] in the file, [N, C, H, W] in the program; tensors of any other rank are as they are. A free
    batch is stored as 1, with -1 in the shape's signature. Inputs and outputs are codes; tensors keep their names, and
    are also those of the signature `serving_default`. Steps that the program leaves to the host are not in the file.

    Raises:
        ExportError: an instruction has other arithmetic than TFLite's, or TFLite cannot express it; it is named.
    """
    network = Network(program)
    for instruction in program.instructions:
        require_arithmetic(network, instruction)
        write_instruction(network, instruction)
    data = network.writer.encode(
        program.inputs, program.outputs, f"intlower, target {program.target}"
    )
    return {FILE_NAME: data}
