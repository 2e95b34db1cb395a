"""The decorator of every kernel, and the folder in which compiled code is kept."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    """Return the function compiled by Numba at its first call, or loaded from the cache folder.

    It releases the interpreter lock. Division follows IEEE and C, without Python's check for 0.
    """
    folder = cache_folder()
    previous = numba.config.CACHE_DIR
    if folder is not None:
        # Numba reads the setting when the decorator runs, and it is the whole process's.
        numba.config.CACHE_DIR = str(folder)
    try:
        return numba.njit(cache=folder is not None, nogil=True, error_model="numpy")(function)
    finally:
        numba.config.CACHE_DIR = previous


@cache
def cache_folder() -> Path | None:
    """Return the folder for compiled code: NUMBA_CACHE_DIR where set, else the user's cache folder.

    Its name holds a digest of the kernels' sources and of the versions of Python, NumPy, Numba and llvmlite, since
    Numba itself looks only at the file of the outermost function; Numba adds the processor. Where no folder can be
    written, the result is None: nothing is kept.
    """
    if numba.config.CACHE_DIR:
        return Path(numba.config.CACHE_DIR)
    digest = _digest()
    user = os.getuid() if hasattr(os, "getuid") else "user"
    candidates = [
        _user_cache() / "intlower" / digest,
        Path(tempfile.gettempdir()) / f"intlower-{user}" / digest,
    ]
    return next((folder for folder in candidates if _writable(folder)), None)


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _digest() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for package in ("numpy", "numba", "llvmlite"):
        digest.update(importlib.metadata.version(package).encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
