"""`tflite-micro`: the exported .tflite file as TensorFlow Lite for Microcontrollers runs it, compiled for this machine."""

from __future__ import annotations

import numpy as np

from intlower.backends.export.tflite import FILE_NAME, export_tflite
from intlower.backends.export.tflite.network import TO_NCHW, TO_NHWC
from intlower.compiler.errors import IntlowerError
from intlower.compiler.program import IntegerProgram
from intlower.witnesses.witness import Codes, Run, Variant, Witness


def open_tflite_micro(program: IntegerProgram) -> Run:
    """Return a run of TFLite Micro: from the codes of the inputs to those of the outputs, in the program's own layout.

    It runs one sample at a time, and has no access to other tensors.

    Raises:
        IntlowerError: it cannot load the file.
        ExportError: the file cannot be written.
    """
    from tflite_micro.python.tflite_micro import runtime

    tensors = sum(
        np.prod([size or 1 for size in tensor.shape]) * tensor.grid.dtype.itemsize
        for tensor in program.tensors.values()
    )
    arena = 2 * int(tensors) + 20_000 * len(program.tensors) + (1 << 18)
    try:
        interpreter = runtime.Interpreter.from_bytes(
            export_tflite(program)[FILE_NAME], arena_size=arena
        )
    except RuntimeError as error:
        raise IntlowerError(
            f"TFLite Micro cannot load the program: {error}", "leave this witness out"
        ) from None

    def run(codes: Codes) -> Codes:
        count = len(next(iter(codes.values())))
        results: dict[str, list[np.ndarray]] = {name: [] for name in program.outputs}
        for sample in range(count):
            for index, name in enumerate(program.inputs):
                array = codes[name][sample : sample + 1]
                stored = array.transpose(TO_NHWC) if array.ndim == 4 else array
                interpreter.set_input(np.ascontiguousarray(stored), index)
            interpreter.invoke()
            for index, name in enumerate(program.outputs):
                array = interpreter.get_output(index)
                results[name].append(array.transpose(TO_NCHW) if array.ndim == 4 else array)
        return {name: np.concatenate(arrays) for name, arrays in results.items()}

    return run


def _open(program: IntegerProgram, every_tensor: bool) -> Run:
    if every_tensor:
        raise IntlowerError(
            "TFLite Micro shows outputs only",
            "search for the first difference with --against litert",
        )
    return open_tflite_micro(program)


WITNESS = Witness(
    name="tflite-micro",
    meaning="the exported .tflite file in TensorFlow Lite for Microcontrollers, built for this machine",
    modules=("tflite_micro",),
    install="pip install 'intlower[litert]'",
    variants=(Variant(name="tflite-micro", open=_open, batch=1),),
)
