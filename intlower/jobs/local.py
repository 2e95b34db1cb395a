"""Jobs on this machine: joblib's loky workers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from joblib import Parallel, delayed, parallel_config

from intlower.jobs.engine import ATTEMPTS, Outcome, attempt, lost_worker

J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalEngine:
    """Worker processes of this machine.

    Attributes:
        workers: how many jobs run at the same time.
        attempts: how many workers a job may take down before it is reported.
    """

    workers: int = 1
    attempts: int = ATTEMPTS

    def run(self, function: Callable[[J], R], jobs: Sequence[J]) -> Iterator[Outcome[R]]:
        """Yield the outcome of each job as it finishes; see `Engine`.

        When a worker ends, loky stops the others too, and does not tell whose job it was. Those that were running are
        therefore run again one at a time, so that only the job that ends its worker is counted against.
        """
        waiting = dict(enumerate(jobs))
        suspects: list[int] = []
        deaths = dict.fromkeys(waiting, 0)
        while waiting:
            alone = bool(suspects)
            chosen = suspects[:1] if alone else list(waiting)
            running: set[int] = set()
            try:
                for outcome in self._round(
                    function, {index: waiting[index] for index in chosen}, running
                ):
                    running.discard(outcome.index)
                    del waiting[outcome.index]
                    suspects = [index for index in suspects if index != outcome.index]
                    yield outcome
            except BrokenExecutor:
                if not alone:
                    suspects = sorted(running & set(waiting))
                for index in suspects[:1] if alone else suspects:
                    deaths[index] += 1
                    if deaths[index] >= self.attempts:
                        del waiting[index]
                        suspects = [other for other in suspects if other != index]
                        yield lost_worker(index, deaths[index])

    def _round(
        self, function: Callable[[J], R], jobs: dict[int, J], running: set[int]
    ) -> Iterator[Outcome[R]]:
        """Yield outcomes until all are there or a worker ends; keep in `running` what was handed out."""

        def handed_out() -> Iterator[Any]:
            for index, job in jobs.items():
                running.add(index)
                yield delayed(attempt)(function, index, job)

        # One worker would be this process: two are there at least, and `pre_dispatch` bounds the jobs under way.
        workers = max(self.workers, 2)
        with (
            warnings.catch_warnings(),
            # Numba, BLAS and torch of each worker take one thread when several run: loky sets their environment.
            parallel_config("loky", inner_max_num_threads=1 if self.workers > 1 else None),
        ):
            # A worker that ends between two jobs is replaced; joblib says so in a warning.
            warnings.filterwarnings("ignore", message="A worker stopped", category=UserWarning)
            outcomes = Parallel(
                n_jobs=workers,
                batch_size=1,
                pre_dispatch=self.workers,
                return_as="generator_unordered",
                max_nbytes=None,  # arrays go through pipes: a run cut short leaves no files behind
            )(handed_out())
            yield from outcomes
