"""Compile a trained CNN to the exact integer arithmetic of a named chip, run it, and prove every bit.

>>> import intlower
>>> "snpe" in [spec.name for spec in intlower.targets()]
True
"""

from intlower.api import (
    compile,
    export,
    open,
    save,
    simulate,
    simulate_integers,
    synthesize,
    targets,
)

__version__ = "0.1.0"

__all__ = [
    "compile",
    "export",
    "open",
    "save",
    "simulate",
    "simulate_integers",
    "synthesize",
    "targets",
]
