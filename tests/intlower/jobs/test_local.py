from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import job_functions
from job_functions import Job

from intlower.jobs.local import LocalEngine


def test_no_result_is_lost_where_workers_end_midway(tmp_path: Path) -> None:
    jobs = [
        *(Job(number=number, notes=tmp_path) for number in range(3)),
        Job(number=3, deadly=1, notes=tmp_path),  # its second worker lives
        Job(number=4, deadly=99, notes=tmp_path),  # never
        Job(number=-1, notes=tmp_path),  # an error, not a death
        *(Job(number=number, notes=tmp_path) for number in range(5, 9)),
    ]
    outcomes = list(LocalEngine(workers=2, attempts=2).run(job_functions.square, jobs))
    assert sorted(outcome.index for outcome in outcomes) == list(range(10))
    found = {jobs[outcome.index].number: outcome for outcome in outcomes}
    for number in (0, 1, 2, 3, 5, 6, 7, 8):
        assert found[number].result == number**2
        assert found[number].failure is None
    lost, refused = found[4].failure, found[-1].failure
    assert lost is not None
    assert "2 times" in lost.message
    assert refused is not None
    assert refused.type == "ValueError"
    assert len(list(tmp_path.glob("-1.*"))) == 1  # an error is not tried again


def test_a_worker_of_several_takes_one_thread(tmp_path: Path) -> None:
    (outcome,) = LocalEngine(workers=2).run(
        job_functions.threads_of_worker, [Job(number=0, notes=tmp_path)]
    )
    assert outcome.result is not None
    assert set(outcome.result.values()) == {"1"}


# As the command line runs an engine: an interrupt is a line and an exit code.
SCRIPT = """
import signal
import sys
from pathlib import Path
from job_functions import Job, square
from intlower.jobs.local import LocalEngine
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    jobs = [Job(number=number, seconds=60, notes=Path(sys.argv[1])) for number in range(4)]
    try:
        list(LocalEngine(workers=2).run(square, jobs))
    except KeyboardInterrupt:
        sys.exit("interrupted")
"""


def test_an_interrupt_ends_every_worker_without_a_word(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(Path(job_functions.__file__).parent)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to everyone
        _, err = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert err == "interrupted\n"
    workers = [int(note.suffix[1:]) for note in tmp_path.iterdir()]
    wait_until(lambda: not any(alive(worker) for worker in workers))


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for something that comes within seconds."""
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def alive(process: int) -> bool:
    """Return whether a process is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
