from __future__ import annotations

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
