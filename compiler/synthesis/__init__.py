"""Calibration data made from the network itself: inputs on which its layers show the statistics that batch norm recorded."""

from intlower.compiler.synthesis.synthesize import Synthesis, synthesize
from intlower.compiler.synthesis.teacher import Objective

__all__ = ["Objective", "Synthesis", "synthesize"]
