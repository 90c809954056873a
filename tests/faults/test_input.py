"""B11, B19, B23, B25, B29, F23, T13, T14: what comes in, and what a handler may do."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.patience import PATIENCE

from jobyard import Job, JobState, QueueService, Reason
from jobyard.errors import InvalidOption, JobyardError
from jobyard.job import JobSpec
from jobyard.timing import Cron


@pytest.mark.case("B11")
async def test_a_name_that_is_the_path_of_a_function_calls_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[object] = []
    monkeypatch.setattr(os, "system", called.append)
    async with QueueService("memory://") as service:
        service.handler("q", "n")(lambda job: "registered")
        names = ("os.system", "posix.system", "__import__", "builtins.eval", "n.__globals__")
        jobs = [await service.add_job("q", name, "true") for name in names]
        known = await service.add_job("q", "n")
        async with service.worker(orphan_policy="fail", poll_interval=0.05):
            assert await known.wait(timeout=PATIENCE) == "registered"
            async with asyncio.timeout(PATIENCE):
                for job in jobs:
                    while not (ended := await job.refresh()).state.is_finished:
                        await asyncio.sleep(0.01)
                    assert (ended.state, ended.reason) == (JobState.FAILED, Reason.ORPHANED)
    assert called == []


@pytest.mark.case("B23")
async def test_of_many_who_retry_a_job_one_does(service: QueueService) -> None:
    runs: list[int] = []

    @service.handler("q", "n")
    async def n(job: Job) -> None:
        runs.append(job.attempt)
        raise ValueError

    job = await service.add_job("q", "n")
    await service.run_until_idle()
    answers = await asyncio.gather(
        *(service.retry_job(job.id) for _ in range(10)), return_exceptions=True
    )
    assert sum(not isinstance(each, BaseException) for each in answers) == 1
    assert all(isinstance(each, JobyardError) for each in answers if isinstance(each, Exception))
    await service.run_until_idle()
    assert len(runs) == 2


@pytest.mark.parametrize(
    ("payload", "options"),
    [(b"\xff{", b""), (b"", b""), (b"1", b"\xc1"), (b"1", b"[1,")],
    ids=["no-text", "nothing", "bad-options", "torn-options"],
)
@pytest.mark.case("B25")
async def test_a_record_that_cannot_be_read_ends_and_holds_nobody_up(
    service: QueueService, payload: bytes, options: bytes
) -> None:
    ran: list[object] = []
    service.handler("q", "n")(lambda job: ran.append(job.data))
    bad = JobSpec(
        id="bad", queue="q", name="n", attempts=5, priority=5, payload=payload, options=options
    )
    await service.backend.add([(bad,)])
    good = await service.add_job("q", "n", "good")
    await service.run_until_idle()
    (record,) = await service.backend.get(["bad"])
    assert record is not None
    assert (record.state, record.reason) == (JobState.FAILED, Reason.CORRUPT)
    assert (await good.refresh()).state is JobState.COMPLETED
    assert ran == ["good"]


@pytest.mark.case("B29")
async def test_an_error_makes_one_line_of_the_log_whatever_it_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "jobyard")
    async with QueueService("memory://") as service:

        @service.handler("q", "n")
        async def n(job: Job) -> None:
            raise ValueError("one\ntwo\r\x1b[31m %s %d {x} \u2028 end\0")

        await service.add_job("q", "n", attempts=2, backoff=0)
        await service.run_until_idle()
    told = [record.getMessage() for record in caplog.records if "ValueError" in record.getMessage()]
    assert told
    for message in told:
        assert "%s %d {x}" in message
        assert message.isprintable()


@pytest.mark.case("F23")
async def test_a_thread_that_a_handler_leaves_behind_is_its_own_business() -> None:
    go_on = threading.Event()
    left: list[threading.Thread] = []
    async with QueueService("memory://") as service:

        @service.handler("q", "n")
        async def n(job: Job) -> str:
            thread = threading.Thread(target=go_on.wait, daemon=True)
            thread.start()
            left.append(thread)
            return "returned"

        job = await service.add_job("q", "n")
        await service.run_until_idle()
        assert (await job.refresh()).result == "returned"
        assert left[0].is_alive()
    go_on.set()
    left[0].join()


@pytest.mark.parametrize("lease", [0, -1, float("nan"), "60", True])
@pytest.mark.case("T14")
async def test_a_lease_of_no_time_is_refused(lease: Any) -> None:
    async with QueueService("memory://") as service:
        service.handler("q", "n")(lambda job: None)
        job = await service.add_job("q", "n")
        with pytest.raises(InvalidOption, match="lease"):
            service.worker(lease=lease)
        with pytest.raises(InvalidOption, match="lease"):
            await service.claim("q", lease=lease)
        assert (await job.refresh()).state is JobState.WAITING


@pytest.mark.case("T13")
def test_days_that_come_seldom_or_never() -> None:
    begin = datetime(2026, 3, 1, tzinfo=UTC)

    def tick(expression: str, after: datetime = begin) -> datetime:
        found = Cron.of(expression).after(int(after.timestamp() * 1000))
        assert found is not None
        return datetime.fromtimestamp(found / 1000, UTC)

    assert tick("0 0 29 2 *") == datetime(2028, 2, 29, tzinfo=UTC)
    assert tick("0 0 31 2,3 *") == datetime(2026, 3, 31, tzinfo=UTC)
    assert tick("*/7 * * * *") == begin + timedelta(minutes=7)
    assert tick("*/7 * * * *", begin + timedelta(minutes=56)) == begin + timedelta(hours=1)
    # The last second of a day that had a leap second: none of ours is the one added.
    assert tick("* * * * * *", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)) == datetime(
        2017, 1, 1, tzinfo=UTC
    )
    for never in ("0 0 30 2 *", "0 0 31 4,6 *", "60 * * * * *"):
        with pytest.raises(InvalidOption, match="cron"):
            Cron.of(never)


@pytest.mark.parametrize("limit", [-1, 10**6, True, 1.5, "3"])
@pytest.mark.case("B19")
async def test_a_claim_of_a_number_that_is_none_is_refused(limit: Any) -> None:
    async with QueueService("memory://") as service:
        job = await service.add_job("q", "n")
        with pytest.raises(InvalidOption, match="limit"):
            await service.claim("q", limit=limit)
        assert await service.claim("q", limit=0) == []
        assert (await job.refresh()).state is JobState.WAITING
