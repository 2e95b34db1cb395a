"""Lowering to logarithmic codes and linear numbers."""

from intlower.backends.lowering_log.lower import lower_logarithmic

__all__ = ["lower_logarithmic"]
