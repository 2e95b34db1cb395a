"""Folders of files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from intlower.compiler.errors import ExportError


def write_folder(
    files: Mapping[str, bytes], folder: Path, *, force: bool = False
) -> tuple[Path, ...]:
    """Write files into a folder; on failure nothing new is left behind.

    1. Everything is written to a folder beside it first.
    2. Where the folder does not exist, or is empty, it takes its place in one step.
    3. Otherwise each file takes its place in one step; other files of the folder stay.

    Args:
        files: contents by path inside the folder, with `/` between parts.
        folder: made where it does not exist; its parent must.
        force: replace files of the same names.

    Returns:
        The paths written, in order.

    Raises:
        ExportError: a file exists and `force` is not given, or a path leads out of the folder.
        OSError: the folder cannot be written.
    """
    paths = [PurePosixPath(path) for path in files]
    for path in paths:
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ExportError(f"{str(path)!r} is not a path inside the folder")
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if not folder.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(folder.parent))
    existing = [path for path in paths if os.path.lexists(folder / path)]
    if existing and not force:
        raise ExportError(
            f"{folder / existing[0]} exists",
            "choose another folder, or give --force to overwrite",
        )
    for path in paths:
        if not (folder / path).parent.resolve().is_relative_to(folder.resolve()):
            raise ExportError(
                f"{(folder / path).parent} is a link that leads out of the folder",
                "choose another folder, or remove the link",
            )
    temporary = folder.parent / f".{folder.name}.{secrets.token_hex(4)}"
    temporary.mkdir()
    try:
        for path, content in zip(paths, files.values(), strict=True):  # 1
            (temporary / path).parent.mkdir(parents=True, exist_ok=True)
            (temporary / path).write_bytes(content)
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            temporary.replace(folder)  # 2
        else:
            for path in paths:  # 3
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (temporary / path).replace(folder / path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return tuple(folder / path for path in paths)
