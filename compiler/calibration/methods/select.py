"""The rules by name: what each has to see, and the range that it gives."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any, assert_never

from numpy.typing import NDArray

from intlower.compiler.calibration.methods.entropy import ThresholdForm, entropy_threshold
from intlower.compiler.calibration.methods.form import GridForm, within
from intlower.compiler.calibration.methods.ifmr import ifmr_range, search_ends
from intlower.compiler.calibration.methods.magnitudes import Magnitudes
from intlower.compiler.calibration.methods.mse import mse_threshold
from intlower.compiler.calibration.methods.percentile import (
    magnitude_percentile,
    weighted_tails,
)
from intlower.compiler.calibration.methods.positions import (
    BatchPositions,
    min_mse_position,
    most_frequent,
)
from intlower.compiler.calibration.methods.sample import Sample, WeightedNumbers
from intlower.compiler.calibration.methods.tf import Density, enhanced_range, tf_range


class Method(enum.Enum):
    """How a range is taken from the numbers of a value.

    MIN_MAX: the least and the greatest. PERCENTILE: all but 0.01 % at each end. PERCENTILE_ABS: all but the 0.01 % greatest
    magnitudes, as TensorRT's tools. MSE: the threshold with the least squared error. ENTROPY: TensorRT's, the threshold in
    the middle of a bin; ENTROPY_EDGE: at its edge, as TensorRT's tools. TF: min-max of at least 0.01, as SNPE; TF_ENHANCED:
    SNPE's other. IFMR: Ascend's. DIFFS: Vitis-AI's, what the power-of-two grid with the least squared error covers, over all
    samples; DIFFS_MODE: of each batch of samples by itself, the grid found most often.
    """

    MIN_MAX = "min-max"
    PERCENTILE = "percentile"
    PERCENTILE_ABS = "percentile-abs"
    MSE = "mse"
    ENTROPY = "entropy"
    ENTROPY_EDGE = "entropy-edge"
    TF = "tf"
    TF_ENHANCED = "tf-enhanced"
    IFMR = "ifmr"
    DIFFS = "diffs"
    DIFFS_MODE = "diffs-mode"


# What a rule looks at beside the extremes.
Detail = Magnitudes | Density | Sample | BatchPositions | WeightedNumbers | None


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """What is known of one value.

    Attributes:
        minimum: the least number, inf before any.
        maximum: the greatest number, -inf before any.
        detail: what the rule looks at beside; WeightedNumbers where the value is modelled.
    """

    minimum: float
    maximum: float
    detail: Detail

    def including(self, array: NDArray[Any]) -> Summary:
        """Return the summary with a batch more, in memory that does not grow with the batches.

        Args:
            array: finite numbers, any shape, at least one.
        """
        detail = self.detail
        return Summary(
            min(self.minimum, float(array.min())),
            max(self.maximum, float(array.max())),
            detail
            if detail is None or isinstance(detail, WeightedNumbers)
            else detail.including(array),
        )


def nothing_seen(method: Method, form: GridForm) -> Summary:
    """Return the empty summary for a rule; percentiles of samples need the extremes first, see `from_samples`.

    Args:
        method: the rule.
        form: of the grid that will lie over the range.
    """
    detail: Detail = None
    match method:
        case Method.PERCENTILE_ABS | Method.MSE | Method.ENTROPY | Method.ENTROPY_EDGE:
            detail = Magnitudes()
        case Method.TF_ENHANCED:
            detail = Density()
        case Method.IFMR | Method.DIFFS:
            detail = Sample()
        case Method.DIFFS_MODE:
            detail = BatchPositions(form.bits)
        case Method.MIN_MAX | Method.TF | Method.PERCENTILE:
            pass
        case _:
            assert_never(method)
    return Summary(math.inf, -math.inf, detail)


def limits(method: Method, summary: Summary, form: GridForm) -> tuple[float, float]:
    """Return the least and the greatest number of the range that a rule gives.

    Args:
        method: the rule.
        summary: of at least one number, made for this rule.
        form: of the grid that will lie over the range.

    Raises:
        ValueError: the summary was made for another rule.
    """
    low, high, detail = summary.minimum, summary.maximum, summary.detail
    match method, detail:
        case Method.MIN_MAX, _:
            return low, high
        case Method.TF, _:
            return tf_range(low, high)
        case Method.TF_ENHANCED, Density():
            return enhanced_range(detail, form)
        case Method.PERCENTILE, WeightedNumbers():
            return weighted_tails(detail.values, detail.weights)
        case Method.IFMR, WeightedNumbers():
            return ifmr_range(detail, min(low, 0.0), max(high, 0.0), form)
        case Method.IFMR, Sample():
            return ifmr_range(detail.numbers, *search_ends(detail), form)
        case Method.DIFFS | Method.DIFFS_MODE, WeightedNumbers():
            position = min_mse_position(detail, bits=form.bits)
            return _covered(position, low, high, form)
        case Method.DIFFS, Sample():
            position = min_mse_position(detail.numbers, bits=form.bits)
            return _covered(position, low, high, form)
        case Method.DIFFS_MODE, BatchPositions():
            return _covered(most_frequent(detail.found), low, high, form)
        case _, Magnitudes():
            return _within_threshold(method, detail, low, high, form)
        case _:
            raise ValueError(f"{method.value} cannot tell a range from {type(detail).__name__}")


def _within_threshold(
    method: Method, magnitudes: Magnitudes, low: float, high: float, form: GridForm
) -> tuple[float, float]:
    match method:
        case Method.PERCENTILE_ABS:
            threshold = magnitude_percentile(magnitudes)
        case Method.MSE:
            threshold = mse_threshold(magnitudes, low, high, form)
        case Method.ENTROPY:
            threshold = entropy_threshold(magnitudes, low, form, ThresholdForm.HALF_BIN)
        case Method.ENTROPY_EDGE:
            threshold = entropy_threshold(magnitudes, low, form, ThresholdForm.EDGE)
        case _:
            raise ValueError(f"{method.value} takes no histogram of magnitudes")
    # A threshold of 0 clips everything: the first bin holds all but a few numbers.
    return within(low, high, threshold) if threshold > 0 else (low, high)


def _covered(position: int, low: float, high: float, form: GridForm) -> tuple[float, float]:
    """Return what the grid of a position covers: laying a power-of-two grid over it gives that one again."""
    return within(low, high, form.positive_steps * 2.0**-position)
