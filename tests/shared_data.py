"""The real networks and labelled data that lie beside the project, where they do."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data"

needs_shared_data = pytest.mark.skipif(
    not (FOLDER / "evalsets.py").exists(),
    reason="the folder ../shared/data with the real networks is not here",
)


@cache
def evalsets() -> ModuleType:
    """Return the module that loads the labelled data in the form the models take."""
    spec = importlib.util.spec_from_file_location("evalsets", FOLDER / "evalsets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def model_path(name: str) -> Path:
    """Return the path of a real network."""
    return FOLDER / "models" / f"{name}.onnx"
