"""Why operators that people bring are not converted, and what to do about them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_STATE = "a recurrent layer: its steps depend on each other; run it on the host, or unroll it into products and functions"
_CHOICE = "which elements it picks depends on the numbers; leave it to the host"
_PLACES = "where it writes depends on indices; leave it to the host"
_FLOW = "control flow: export with fixed sizes, so that it is folded away"
_TRUTH = "it makes truth values of computed numbers, and the graph is of numbers; multiply by a mask instead"

REASONS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("GRU", "LSTM", "RNN"), _STATE),
        **dict.fromkeys(
            ("ArgMax", "ArgMin", "NonMaxSuppression", "NonZero", "TopK", "Unique", "Compress"),
            _CHOICE,
        ),
        **dict.fromkeys(("GatherND", "GatherElements", "RoiAlign", "MaxRoiPool"), _CHOICE),
        **dict.fromkeys(("GridSample", "DeformConv"), "its positions are computed numbers"),
        **dict.fromkeys(
            ("ScatterND", "ScatterElements", "Scatter", "TensorScatter", "MaxUnpool"), _PLACES
        ),
        **dict.fromkeys(("If", "Loop", "Scan"), _FLOW),
        **dict.fromkeys(
            ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "And", "Or"),
            _TRUTH,
        ),
        "LpPool": "pools by the mean or the maximum are converted: for p=2 write Pow, AveragePool, Mul and Sqrt",
        "GlobalLpPool": "write ReduceL1 or ReduceL2 over the spatial axes",
        "ReduceProd": "a product of many numbers leaves every range; add logarithms instead",
        "Mod": "no target has it",
        "Det": "no target has it",
        **dict.fromkeys(
            ("DFT", "STFT"), "write it as a convolution or a product with a constant matrix"
        ),
    }
)
