"""The formats that `intlower export` knows."""

from __future__ import annotations

import difflib
from types import MappingProxyType

from intlower.backends.export import (
    ascend,
    c_format,
    espdl,
    nart,
    ncnn,
    nnie,
    portable,
    qdq_format,
    ristretto,
    snpe,
    tensorrt,
    tflite_format,
    vitis,
)
from intlower.backends.export.format import Files, Format, json_bytes, require_grids
from intlower.backends.export.names import with_safe_names
from intlower.backends.export.readme import readme
from intlower.compiler.errors import ExportError
from intlower.compiler.program import IntegerProgram

# A format is one file with one value, and a line here.
FORMATS = MappingProxyType(
    {
        value.name: value
        for value in (
            qdq_format.FORMAT,
            tensorrt.FORMAT,
            snpe.FORMAT,
            tflite_format.FORMAT,
            nart.FORMAT,
            ncnn.FORMAT,
            ascend.FORMAT,
            nnie.FORMAT,
            vitis.FORMAT,
            espdl.FORMAT,
            ristretto.FORMAT,
            c_format.FORMAT,
            portable.FORMAT,
        )
    }
)


def find_format(name: str) -> Format:
    """Return the format of a name.

    Raises:
        ExportError: there is none; the hint names the closest.
    """
    if name in FORMATS:
        return FORMATS[name]
    close = difflib.get_close_matches(name, FORMATS, 1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    raise ExportError(
        f"unknown export format {name!r}", f"{meant}formats: {', '.join(FORMATS)}"
    )


def export_files(program: IntegerProgram, format_name: str) -> Files:
    """Return the files of a program in a format, README.txt among them: the format's own where it writes one.

    names.json is among them where names had to be replaced: the model's name of every such name.

    Args:
        program: to write.
        format_name: of a format.

    Raises:
        ExportError: there is no such format, or it cannot hold the program; the node or tensor is named.
    """
    target_format = find_format(format_name)
    require_grids(target_format, program)
    safe = with_safe_names(program, target_format.characters)
    files = dict(target_format.write(safe.program))
    if safe.originals:
        files["names.json"] = json_bytes(safe.originals)
    text = readme(target_format, safe.program, {*files, "README.txt"}, safe.originals)
    return {"README.txt": text.encode(), **files}
