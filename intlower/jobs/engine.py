"""What an engine promises, and what it runs in a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from intlower.failures import CHECK_FAILED, Failure, describe

J = TypeVar("J")
R = TypeVar("R")

# How often a job may take its worker down before it is reported instead of run again. A machine that is short of memory
# for a moment is forgiven; a job that always needs more than there is, is not.
ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[R]):
    """What became of one job: a result, or the reason why there is none.

    Attributes:
        index: of the job in the sequence that was given.
        result: what the function returned; None where it failed.
        failure: why there is no result; None where there is one.
    """

    index: int
    result: R | None = None
    failure: Failure | None = None


class Engine(Protocol):
    """Runs independent jobs in other processes."""

    def run(self, function: Callable[[J], R], jobs: Sequence[J]) -> Iterator[Outcome[R]]:
        """Yield the outcome of each job, exactly one for each, in the order in which they finish.

        A function that raises is not run again: the same job would raise again. A job whose worker process ends is run
        again, up to a bound, and then reported.

        Args:
            function: of a module that workers can import; takes a job, returns a plain value.
            jobs: plain values.
        """
        ...


def attempt(function: Callable[[J], R], index: int, job: J) -> Outcome[R]:
    """Return the outcome of a job, run in this process: the part of an engine that workers run."""
    try:
        return Outcome(index=index, result=function(job))
    except Exception as error:
        return Outcome(index=index, failure=describe(error))


def lost_worker(index: int, attempts: int) -> Outcome[R]:
    """Return the outcome of a job that takes its workers down.

    Args:
        index: of the job.
        attempts: how many workers ended while they ran it.
    """
    failure = Failure(
        type="WorkerLost",
        message=f"its worker process ended {attempts} times without an answer",
        hint="it may need more memory than there is: run fewer jobs at once, or fewer samples",
        exit_code=CHECK_FAILED,
    )
    return Outcome(index=index, failure=failure)
