"""Measures networks side by side, each in a process of its own, bounded in time and memory."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.zoo.measure import MEMORY_BYTES, read_record, write_record

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooJob:
    """One network.

    Attributes:
        name: of the network.
        folder: where its results are kept.
        targets: to compile it for.
        seconds: of wall-clock time for one step: the import, or one target.
        threads: of every library.
        deadline: of the clock `time.time`; nothing is started after it.
    """

    name: str
    folder: Path
    targets: tuple[str, ...]
    seconds: float
    threads: int
    deadline: float = math.inf


def measure_bounded(job: ZooJob) -> str:
    """Measure a network, again after every target that ended its process, and return its name.

    The record is complete afterwards: what ended the process is the reason of the step that was under way.
    """
    environment = os.environ | {
        name: str(job.threads)
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    }
    while time.time() < job.deadline:
        step, ended = _attempt(job, environment)
        if not step:
            return job.name
        record = read_record(job.folder, job.name)
        if step in job.targets:
            results = record.setdefault("targets", {})
            key = "failure" if step in results else "reason"  # after compilation, or during
            results[step] = {**results.get(step, {}), key: ended}
        else:
            record["imported"] = ended
        record["step"] = ""
        write_record(job.folder, job.name, record)
        if step not in job.targets:
            break
    return job.name


def _attempt(job: ZooJob, environment: dict[str, str]) -> tuple[str, str]:
    """Run the process once; return the step that ended it and how, or two empty texts."""
    arguments = [job.name, str(job.folder), *job.targets]
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.zoo.measure", *arguments],
            cwd=ROOT,
            env=environment,
            timeout=job.seconds,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except subprocess.TimeoutExpired:
        ended = f"past the limit of {job.seconds:.0f} s"
    else:
        if done.returncode == 0:
            return "", ""
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        memory = "bad_alloc" in done.stderr or "MemoryError" in done.stderr
        ended = (
            f"past the limit of {MEMORY_BYTES >> 30} GiB"
            if memory
            else f"the process ended with code {done.returncode}: {last[:200]}"
        )
    step = str(read_record(job.folder, job.name).get("step", "")) or "start"
    return step, ended
