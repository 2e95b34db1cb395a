"""Jobs on a Dask cluster.

The jobs go to Dask's own client: joblib's Dask backend ends the whole call when one job has lost its workers, and the
jobs that are waiting with it. The functions and the jobs are the same as on one machine.

A scheduler is trusted: whoever can reach it can run code on its workers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from distributed import Client, KilledWorker, as_completed

from intlower.compiler.errors import IntlowerError
from intlower.failures import describe
from intlower.jobs.engine import Outcome, attempt, lost_worker

J = TypeVar("J")
R = TypeVar("R")

CONNECT_SECONDS = 10
FIRST_WORKER_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class DaskEngine:
    """Workers of a Dask cluster, which have this version of intlower and see the same files under the same paths.

    A worker should take one job at a time (`dask worker --nthreads 1`): jobs in one process would disturb each other's times.

    A job whose worker ends goes to another one, as often as the scheduler's setting
    `distributed.scheduler.allowed-failures` allows (three times as Dask comes).

    Attributes:
        scheduler: address, "tcp://HOST:PORT".
    """

    scheduler: str

    def run(self, function: Callable[[J], R], jobs: Sequence[J]) -> Iterator[Outcome[R]]:
        """Yield the outcome of each job as it finishes; see `Engine`.

        Raises:
            IntlowerError: no scheduler answers at the address, or it has no workers.
        """
        with self.connected() as engine:
            yield from engine.run(function, jobs)

    @contextmanager
    def connected(self) -> Iterator[ConnectedEngine]:
        """Give an engine that stays connected, for many calls with few jobs each; see `run` for the errors."""
        with self._connected() as client:
            yield ConnectedEngine(client=client)

    def _connected(self) -> Any:
        try:
            client = Client(self.scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:  # also its TimeoutError; ValueError: no address
            raise IntlowerError(
                f"no Dask scheduler answers at {self.scheduler}: {error}",
                "start one with 'dask scheduler' and give the address that it prints",
            ) from None
        try:
            client.wait_for_workers(1, timeout=FIRST_WORKER_SECONDS)
        except TimeoutError:
            client.close()
            raise IntlowerError(
                f"the Dask scheduler at {self.scheduler} has no workers",
                f"start some with 'dask worker {self.scheduler} --nthreads 1'",
            ) from None
        return client


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedEngine:
    """A cluster with an open connection.

    Attributes:
        client: Dask's.
    """

    client: Any

    def run(self, function: Callable[[J], R], jobs: Sequence[J]) -> Iterator[Outcome[R]]:
        """Yield the outcome of each job as it finishes; see `Engine`."""
        indices = {
            self.client.submit(attempt, function, index, job, pure=False): index
            for index, job in enumerate(jobs)
        }
        try:
            for future in as_completed(indices, loop=self.client.loop):
                try:
                    outcome = future.result()
                except KilledWorker as error:
                    outcome = lost_worker(indices[future], error.allowed_failures + 1)
                except (Exception, asyncio.CancelledError) as error:
                    # The scheduler is gone, or a worker has another version and cannot load the job.
                    outcome = Outcome(index=indices[future], failure=describe(error))
                future.release()
                yield outcome
        finally:
            self.client.cancel(list(indices))
