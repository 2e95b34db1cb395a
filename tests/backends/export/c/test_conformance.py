"""Small networks of every installed target, under every option, as C: one build."""

from __future__ import annotations

from pathlib import Path

import networks
import onnx
import pytest
from c_compiler import differences, needs_compiler
from targets_installed import variants

from intlower.backends.export.c.elements import NoCForm
from intlower.backends.export.c.project import export_c
from intlower.backends.export.c.vectors import GoldenVectors
from intlower.compiler.crosscheck import random_inputs
from intlower.compiler.discovery import target_names
from intlower.compiler.pipeline import compile_model
from intlower.compiler.simulator import run_reference
