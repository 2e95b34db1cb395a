"""From a float graph and ranges to a minifloat program."""

from intlower.backends.lowering_minifloat.lower import lower_minifloats

__all__ = ["lower_minifloats"]
