"""From a graph to a half-precision program, with or without quantized layers in it."""

from intlower.backends.lowering_half.lower import lower_half

__all__ = ["lower_half"]
