from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import job_functions
import pytest
from job_functions import Job

from intlower.compiler.errors import IntlowerError

distributed = pytest.importorskip("distributed", reason="the extra [dask] is not installed")

pytestmark = pytest.mark.slow


@pytest.fixture
def scheduler() -> Iterator[str]:
    """A cluster of two worker processes on this machine."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


def test_no_result_is_lost_where_a_worker_of_a_cluster_ends_midway(
    scheduler: str, tmp_path: Path
) -> None:
    from intlower.jobs.cluster import DaskEngine

    jobs = [Job(number=number, deadly=int(number == 2), notes=tmp_path) for number in range(8)]
    jobs.append(Job(number=-1, notes=tmp_path))
    outcomes = list(DaskEngine(scheduler=scheduler).run(job_functions.square, jobs))
    assert len(list(tmp_path.glob("2.*"))) == 2  # one worker ended, another one answered
    assert sorted(outcome.index for outcome in outcomes) == list(range(9))
    for outcome in outcomes:
        if jobs[outcome.index].number < 0:
            assert outcome.failure is not None
            assert outcome.failure.type == "ValueError"
        else:
            assert outcome.result == jobs[outcome.index].number ** 2


def test_an_address_without_a_scheduler_is_a_plain_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from intlower.jobs import cluster

    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with pytest.raises(IntlowerError, match="no Dask scheduler answers"):
        list(cluster.DaskEngine(scheduler="tcp://127.0.0.1:1").run(job_functions.square, []))
