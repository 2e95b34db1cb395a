"""Timing contenders side by side: alternating runs, so that a machine's moods meet all of them alike."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

# A median of fewer runs says little.
LEAST_REPEATS = 5
_WARM_UPS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The times of one contender, in milliseconds.

    Attributes:
        median_ms: of all runs.
        min_ms: the quickest run.
        repeats: how many runs there were.
    """

    median_ms: float
    min_ms: float
    repeats: int

    def document(self) -> dict[str, int | float]:
        """Return the figures by name, with microseconds to three digits."""
        return {
            "median_ms": round(self.median_ms, 6),
            "min_ms": round(self.min_ms, 6),
            "repeats": self.repeats,
        }


def alternate(
    contenders: Mapping[str, Callable[[], object]],
    *,
    seconds: float = 2.0,
    repeats: int | None = None,
    pause: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Return the times of contenders that run in turns, after warm-up runs that are not timed.

    Args:
        contenders: what to time, by name.
        seconds: to spend on each contender, where `repeats` is not given.
        repeats: number of timed runs of each.
        pause: seconds to sleep before each timed run, which then follows one more warm-up run; for contenders with
            threads of their own, which look for work a while after a run and take the cores from the next contender.
        progress: called with what is done and what is to do (tenths of seconds, or runs).
        clock: seconds, monotonic.
    """
    for run in contenders.values():
        for _ in range(_WARM_UPS):
            run()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    budget = seconds * len(contenders)
    begin = clock()
    done = 0
    while (
        done < repeats
        if repeats is not None
        else done < LEAST_REPEATS or clock() - begin < budget
    ):
        for name, run in contenders.items():
            if pause > 0:
                time.sleep(pause)
                run()
            start = clock()
            run()
            times[name].append(clock() - start)
        done += 1
        if progress is not None and repeats is not None:
            progress(done, repeats)
        elif progress is not None:
            progress(round(10 * min(clock() - begin, budget)), round(10 * budget))
    return {
        name: Timing(median_ms=1e3 * median(measured), min_ms=1e3 * min(measured), repeats=done)
        for name, measured in times.items()
    }


def machine() -> dict[str, Any]:
    """Return what a figure depends on and a reader may know: processor, cores, and the load of the last minute.

    The load is None where the system does not tell it; above the number of runs at a time, others used the cores too.
    """
    description = Path("/proc/cpuinfo")
    lines = description.read_text(encoding="utf-8").splitlines() if description.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }
