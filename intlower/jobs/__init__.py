"""Independent jobs in worker processes, here or on a cluster; no result is lost.

A job is a plain value (paths, names, numbers) and so is its result: both travel between processes, arrays and open
programs do not. `local.py` runs jobs by joblib, `cluster.py` on Dask; `engine.py` is what they have in common.
"""

from __future__ import annotations

from intlower.jobs.engine import Engine, Outcome

__all__ = ["Engine", "Outcome"]
