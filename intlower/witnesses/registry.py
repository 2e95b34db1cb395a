"""The witnesses that `intlower verify --against` knows beside the two that prove a program."""

from __future__ import annotations

from types import MappingProxyType

from intlower.compiler.errors import IntlowerError
from intlower.witnesses import litert, onnxruntime_qdq, openvino, qnn_htp, tflite_micro
from intlower.witnesses.witness import Witness

WITNESSES = MappingProxyType(
    {
        witness.name: witness
        for witness in (
            onnxruntime_qdq.WITNESS,
            openvino.WITNESS,
            qnn_htp.WITNESS,
            litert.WITNESS,
            tflite_micro.WITNESS,
        )
    }
)


def find_witness(name: str) -> Witness:
    """Return the witness of a name, installed.

    Raises:
        IntlowerError: it is not installed; the hint is the command that installs it.
    """
    witness = WITNESSES[name]
    if not witness.installed():
        missing = " and ".join(witness.modules)
        raise IntlowerError(f"the witness {name!r} needs {missing}", witness.install)
    return witness
