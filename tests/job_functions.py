"""Functions that worker processes run in the tests of engines."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A number, and what becomes of its worker.

    Attributes:
        number: to square; a negative one is refused.
        deadly: how many of the first attempts end their worker.
        seconds: that it takes.
        notes: folder in which each attempt leaves a file.
    """

    number: int
    deadly: int = 0
    seconds: float = 0
    notes: Path


def square(job: Job) -> int:
    """Return the square of a job's number; end the process midway in the first attempts of a deadly job."""
    (job.notes / f"{job.number}.{os.getpid()}").touch()
    if len(list(job.notes.glob(f"{job.number}.*"))) <= job.deadly:
        os._exit(1)
    time.sleep(job.seconds)
    if job.number < 0:
        raise ValueError("negative")
    return job.number**2


def threads_of_worker(job: Job) -> dict[str, str | None]:
    """Return what the worker's environment allows Numba, BLAS and OpenMP."""
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {name: os.environ.get(name) for name in names}
