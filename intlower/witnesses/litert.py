"""`litert`: the exported .tflite file as LiteRT runs it, by its reference kernels or by XNNPACK."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.export.tflite import FILE_NAME, export_tflite
from intlower.backends.export.tflite.network import TO_NCHW, TO_NHWC
from intlower.compiler.errors import IntlowerError
from intlower.compiler.program import IntegerProgram
from intlower.witnesses.witness import Codes, Run, Variant, Witness


def open_litert(program: IntegerProgram, every_tensor: bool, *, reference: bool = True) -> Run:
    """Return a run of LiteRT: from the codes of the inputs to codes by name of tensor, in the program's own layout.

    Args:
        program: for the target `litert`.
        every_tensor: whether every tensor of the program is wanted, or the outputs only.
        reference: by BUILTIN_REF, the reference kernels, whose integers are the program's; else by AUTO, which is
            XNNPACK, whose products are rescaled in float32.

    Raises:
        IntlowerError: LiteRT cannot load the file.
        ExportError: the file cannot be written.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    data = export_tflite(program)[FILE_NAME]
    kernels = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
    try:
        interpreter = Interpreter(
            model_content=data,
            experimental_op_resolver_type=kernels,
            experimental_preserve_all_tensors=every_tensor,
        )
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise IntlowerError(
            f"LiteRT cannot load the program: {error}", "leave this witness out"
        ) from None
    places = {tensor["name"]: tensor["index"] for tensor in interpreter.get_tensor_details()}
    wanted = list(program.tensors) if every_tensor else list(program.outputs)
    sizes = dict.fromkeys(program.inputs, 1)

    def run(codes: Codes) -> Codes:
        for name in program.inputs:
            array = _stored(codes[name])
            if program.tensors[name].shape[0] is None and sizes[name] != len(array):
                interpreter.resize_tensor_input(places[name], array.shape)
                sizes[name] = len(array)
        interpreter.allocate_tensors()
        for name in program.inputs:
            interpreter.set_tensor(places[name], _stored(codes[name]))
        interpreter.invoke()
        return {name: _restored(interpreter.get_tensor(places[name])) for name in wanted}

    return run


def _stored(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array.transpose(TO_NHWC)) if array.ndim == 4 else array


def _restored(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array.transpose(TO_NCHW)) if array.ndim == 4 else array


def _open_xnnpack(program: IntegerProgram, every_tensor: bool) -> Run:
    return open_litert(program, every_tensor, reference=False)


WITNESS = Witness(
    name="litert",
    meaning="the exported .tflite file in LiteRT, by its reference kernels and by XNNPACK",
    modules=("ai_edge_litert",),
    install="pip install 'intlower[litert]'",
    variants=(
        Variant(name="litert", open=open_litert),
        Variant(name="litert-xnnpack", open=_open_xnnpack),
    ),
)
