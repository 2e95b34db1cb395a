"""Ranges for every value: from samples, from batch-norm moments, or, where nothing is known, from noise."""

from intlower.compiler.calibration.calibrate import Assumed, Calibration, calibrate
from intlower.compiler.calibration.ranges import Range, Ranges

__all__ = ["Assumed", "Calibration", "Range", "Ranges", "calibrate"]
