"""How kernels are compiled, and the folder in which compiled code is kept.

An *entry* is a kernel that the walk calls by its address. Each is compiled when a program first needs it, with all that
it calls, and kept on disk; so a program pays for its own kernels only.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numba


def part(function: Callable[..., Any]) -> Any:
    """Return a part of entries: compiled into each entry that calls it, never called from Python.

    Division follows IEEE and C, without Python's check for 0.
    """
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
    return numba.njit(**options)(function)


def compile_entry(function: Callable[..., Any], signature: Any) -> Any:
    """Return an entry compiled for a signature, or loaded from the cache folder; `address` is where it starts."""
    with _cache_setting() as keep:
        return numba.cfunc(signature, cache=keep, error_model="numpy")(function)


def compiled(function: Callable[..., Any]) -> Any:
    """Return a function that Python calls, compiled at its first call; it releases the interpreter lock."""
    with _cache_setting() as keep:
        return numba.njit(cache=keep, nogil=True, error_model="numpy")(function)


@contextmanager
def _cache_setting() -> Iterator[bool]:
    """Point Numba to our folder; the setting is the whole process's, and is read when a decorator runs."""
    folder = cache_folder()
    previous = numba.config.CACHE_DIR
    if folder is not None:
        numba.config.CACHE_DIR = str(folder)
    try:
        yield folder is not None
    finally:
        numba.config.CACHE_DIR = previous


@cache
def cache_folder() -> Path | None:
    """Return the folder for compiled code: NUMBA_CACHE_DIR where set, else the user's cache folder.

    Its name holds a digest of the kernels' sources and of the versions of Python, NumPy, Numba and llvmlite, since
    Numba itself looks only at the file of the outermost function; Numba adds the processor. Where no folder can be
    written, the result is None: nothing is kept.
    """
    digest = _digest()
    user = os.getuid() if hasattr(os, "getuid") else "user"
    candidates = [
        _user_cache() / "intlower" / digest,
        Path(tempfile.gettempdir()) / f"intlower-{user}" / digest,
    ]
    if numba.config.CACHE_DIR:
        candidates = [Path(numba.config.CACHE_DIR) / digest]
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
