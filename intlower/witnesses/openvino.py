"""`openvino`: the exported Q/DQ model as OpenVINO's CPU runs it."""

from __future__ import annotations

from intlower.backends.export.qdq import to_qdq
from intlower.backends.export.qdq_graph import to_unsigned
from intlower.compiler.errors import IntlowerError
from intlower.compiler.program import IntegerProgram
from intlower.witnesses.witness import Codes, Run, Variant, Witness, tensor_names


def _open(program: IntegerProgram, every_tensor: bool) -> Run:
    import openvino

    # Unsigned activations are those for which it has integer kernels.
    model = to_qdq(program, integer_edges=True, unsigned=True, every_tensor=every_tensor)
    core = openvino.Core()
    try:
        compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU")
    except Exception as error:  # its own classes are not public
        raise IntlowerError(
            f"openvino cannot load the program: {error}", "leave this witness out of --against"
        ) from None
    names = tensor_names(program, every_tensor)

    def run(codes: Codes) -> Codes:
        results = compiled({name: to_unsigned(array) for name, array in codes.items()})
        return {
            name: results[index].astype("int64") + _least(program, name)
            for index, name in enumerate(names)
        }

    return run


def _least(program: IntegerProgram, name: str) -> int:
    """Return what `to_unsigned` took from the codes."""
    return program.tensors[name].grid.element.limits[0]


WITNESS = Witness(
    name="openvino",
    meaning="the exported Q/DQ model in OpenVINO on the CPU",
    modules=("openvino",),
    install="pip install 'intlower[bench]'",
    variants=(Variant(name="openvino", open=_open),),
)
