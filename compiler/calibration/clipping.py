"""What clipping leaves of values: a warning where a rule of calibration cuts off much of what was seen.

The entropy rule weighs how often numbers occur, not how large they are: of a value most of whose numbers lie near 0, as behind
a hard swish, it may keep those and clip the rest, which are the signal.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import numpy as np

from intlower.compiler.calibration.methods.magnitudes import Magnitudes
from intlower.compiler.errors import CalibrationWarning

# Signal over what is clipped off, in decibels, below which a value is named: of normal and Laplacian numbers the entropy rule
# leaves 25 or more, of hard swishes that it mistakes 2 to 15.
LEAST_DB = 15.0


def clipped_signal_db(magnitudes: Magnitudes, threshold: float) -> float:
    """Return 10 log10(sum x^2 / sum max(|x| - threshold, 0)^2) of a histogram's bin centres; inf where nothing is clipped.

    Args:
        magnitudes: the histogram.
        threshold: positive.
    """
    beyond = np.maximum(magnitudes.centres - threshold, 0.0)
    lost = float(magnitudes.counts @ np.square(beyond))
    if lost == 0.0:
        return math.inf
    return 10 * math.log10(float(magnitudes.counts @ np.square(magnitudes.centres)) / lost)


def warn_of_clipping(left: Mapping[str, float], method: str) -> None:
    """Warn once where values are clipped to little of their signal.

    Args:
        left: of each value that was clipped, `clipped_signal_db`.
        method: the rule's name.
    """
    low = {name: ratio for name, ratio in left.items() if ratio < LEAST_DB}
    if not low:
        return
    worst = min(low, key=lambda name: low[name])
    rest = f", and below {LEAST_DB:.0f} dB for {len(low) - 1} more" if len(low) > 1 else ""
    warnings.warn(
        CalibrationWarning(
            f"{method} ranges clip {worst!r} so that its signal to noise ratio is {low[worst]:.1f} dB{rest}",
            "compare with `--calibration min-max`",
        ),
        stacklevel=2,
    )
