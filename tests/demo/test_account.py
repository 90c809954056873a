from collections import Counter
from typing import Any

import pytest

from jobyard import QueueService
from jobyard.demo.account import Account, take_account
from jobyard.demo.indexing import FILES
from jobyard.stats import QueueMetrics


def metrics(**counts: Any) -> QueueMetrics:
    names = ("added", "started", "completed", "failed", "retried", "cancelled", "crashed")
    zeros = dict.fromkeys((*names, "removed", "processed"), 0)
    rest = {
        "success_rate": None,
        "average_seconds": None,
        "throughput": 0.0,
        "window": 60.0,
        "current_concurrency": 0,
        "peak_concurrency": 0,
    }
    return QueueMetrics(**(zeros | rest | counts))


def account(states: dict[str, int], *, completed: int, expected: int = 3) -> Account:
    return Account(expected=expected, metrics=metrics(completed=completed), states=Counter(states))


def test_all_completed_once_is_no_problem() -> None:
    assert account({"completed": 3}, completed=3).problems() == []


def test_a_lost_job_is_a_problem() -> None:
    assert account({"completed": 2}, completed=2).problems() == [
        "2 jobs instead of 3",
        "2 of 3 jobs completed (2 completed)",
    ]


def test_a_job_that_did_not_complete_is_a_problem() -> None:
    assert account({"completed": 2, "failed": 1}, completed=2).problems() == [
        "2 of 3 jobs completed (2 completed, 1 failed)"
    ]


def test_a_job_that_was_reported_twice_is_a_problem() -> None:
    (problem,) = account({"completed": 3}, completed=4).problems()

    assert "4 completions were counted: some were reported twice" in problem


async def test_the_jobs_of_a_service_are_counted() -> None:
    service = QueueService("memory://")

    @service.handler(FILES, "index-file")
    async def run(job: Any) -> None:
        if job.data == "fails":
            raise ValueError("no")
        if job.data == "once" and job.attempt == 1:
            raise ValueError("not yet")

    async with service:
        await service.add_job(FILES, "index-file", "fine")
        await service.add_job(FILES, "index-file", "once", attempts=2, backoff=0)
        failed = await service.add_job(FILES, "index-file", "fails")
        await service.run_until_idle()
        found = await take_account(service, expected=3)

    assert found.states == {"completed": 2, "failed": 1}
    assert (found.runs, found.failures, found.crashes, found.handed_back) == (4, 2, 0, 0)
    assert found.errors == [f"{failed.id}: ValueError: no"]
    assert found.seconds == pytest.approx(0, abs=60)
    assert sum(found.by_worker.values()) == 2
