"""`qnn-htp`: the exported Q/DQ model, whole, on Qualcomm's emulator of the Hexagon tensor processor.

The emulator is in the Linux x86-64 wheel of onnxruntime-qnn. Its licence (Qualcomm AI Stack) allows running one's own networks and
comparing; it forbids reverse engineering. So outputs are compared, and nothing else: no constant or rule of this project is
derived from it, and nothing that it made is stored.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import onnxruntime

from intlower.backends.export.format import model_bytes
from intlower.backends.export.qdq import to_qdq
from intlower.compiler.errors import IntlowerError
from intlower.compiler.program import IntegerProgram
from intlower.witnesses.onnxruntime_qdq import open_session
from intlower.witnesses.witness import Codes, Run, Variant, Witness, tensor_names


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Send what the libraries print to stderr: stdout is for results, and theirs would be in the middle of the JSON."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _open(program: IntegerProgram, every_tensor: bool) -> Run:
    import onnxruntime_qnn

    provider = onnxruntime_qnn.get_ep_name()
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == provider]
    if not devices:
        library = onnxruntime_qnn.get_library_path()
        try:
            onnxruntime.register_execution_provider_library(provider, library)
        except Exception as error:  # onnxruntime's own classes have no common public root
            raise IntlowerError(
                f"onnxruntime cannot load {library}: {error}",
                "install versions of onnxruntime and onnxruntime-qnn that fit",
            ) from None
        devices = [
            device for device in onnxruntime.get_ep_devices() if device.ep_name == provider
        ]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # The whole network on the emulator, or an error.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    options.add_provider_for_devices(
        devices[:1], {"backend_path": onnxruntime_qnn.get_qnn_htp_path()}
    )
    # The HTP compiles for fixed shapes.
    model = to_qdq(program, integer_edges=True, every_tensor=every_tensor)
    with _stdout_to_stderr():
        session = open_session(model_bytes(model, batch=1), options, "qnn-htp")
    names = tensor_names(program, every_tensor)

    def run(codes: Codes) -> Codes:
        with _stdout_to_stderr():
            return dict(zip(names, session.run(names, dict(codes)), strict=True))

    return run


WITNESS = Witness(
    name="qnn-htp",
    meaning="the exported Q/DQ model, whole, on Qualcomm's HTP emulator (Linux x86-64)",
    modules=("onnxruntime", "onnxruntime_qnn"),
    install="pip install 'intlower[qnn]'",
    variants=(Variant(name="qnn-htp", open=_open, batch=1),),
)
