"""The sandbox (B-10): an app's jobs in memory, run when the test says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import ANY

import pytest

from jobyard import Discard, FlowJob, Job, JobState, QueueService, Snooze, sync
from jobyard.errors import BackendClosed, ConfigError, Unsupported
from jobyard.testing import Sandbox

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


class Shop:
    """An app with jobs, as apps are: a service for a store that the test must not touch."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "shop.db"
        self.service = QueueService(f"sqlite:///{self.file}")
        self.sent: list[object] = []
        self.broken = 0
        self.service.handler("emails", "welcome")(self.welcome)
        self.service.handler("emails", "remind")(self.remind)

    async def welcome(self, job: Job) -> str:
        if self.broken:
            self.broken -= 1
            raise ConnectionError("no mail server")
        self.sent.append(job.data)
        return "sent"

    async def remind(self, job: Job) -> None:
        self.sent.append(("remind", job.data))
        await self.service.add_job("emails", "welcome", job.data)

    async def sign_up(self, user: int) -> Job:
        return await self.service.add_job("emails", "welcome", {"user": user})


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


async def test_b10_nothing_runs_until_drained_and_nothing_reaches_the_store(shop: Shop) -> None:
    before = shop.service.backend
    async with Sandbox(shop.service) as sandbox:
        job = await shop.sign_up(1)
        assert shop.sent == []
        assert sandbox.assert_enqueued("emails", "welcome", {"user": 1}, count=1).id == job.id
        assert await sandbox.drain() == 1
        assert shop.sent == [{"user": 1}]
        assert await job.wait() == "sent"
        assert [job.state for job in sandbox.jobs()] == [JobState.COMPLETED]
    assert not shop.file.exists()
    assert shop.service.backend is before
    with pytest.raises(BackendClosed):
        await shop.sign_up(2)


async def test_b10_inline_jobs_run_as_part_of_the_add(shop: Shop) -> None:
    async with Sandbox(shop.service, inline=True) as sandbox:
        await shop.sign_up(1)
        assert shop.sent == [{"user": 1}]
        await shop.service.add_job("emails", "remind", 2)  # which adds another
        assert shop.sent[1:] == [("remind", 2), 2]
        await shop.service.add_job("emails", "welcome", 3, delay=5)
        assert 3 not in shop.sent
        assert await sandbox.drain(within=5) == 1
        assert shop.sent[-1] == 3
        first = FlowJob("emails", "welcome", 4)
        await shop.service.add_flow(FlowJob("emails", "welcome", 5, depends_on=first))
        assert shop.sent[-2:] == [4, 5]
        shop.broken = 1
        with pytest.raises(ConnectionError):
            await shop.sign_up(6)


async def test_b10_the_clock_moves_through_what_becomes_due(shop: Shop) -> None:
    seen: list[datetime] = []
    async with Sandbox(shop.service, at=NOON) as sandbox:
        shop.service.on("completed", lambda event: seen.append(event.at))
        for delay in (30, 10, 20):
            await shop.service.add_job("emails", "welcome", delay, delay=delay)
        assert await sandbox.drain() == 0
        assert await sandbox.drain(within=timedelta(seconds=20)) == 2
        assert shop.sent == [10, 20]
        assert sandbox.clock.now == NOON + timedelta(seconds=20)
        assert await sandbox.drain(within=100) == 1
        assert sandbox.clock.now == NOON + timedelta(seconds=120)
    assert seen == [NOON + timedelta(seconds=after) for after in (10, 20, 30)]


async def test_b10_ticks_of_schedules_run_at_their_time(shop: Shop) -> None:
    async with Sandbox(shop.service, at=NOON + timedelta(seconds=1)) as sandbox:
        await shop.service.add_schedule("hourly", "emails", "welcome", "tick", every=3600)
        assert await sandbox.drain(within=3 * 3600) == 3
        sandbox.assert_enqueued("emails", "welcome", "tick", count=3)


async def test_b10_what_a_handler_raises_fails_the_test_unless_told_otherwise(shop: Shop) -> None:
    async with Sandbox(shop.service, at=NOON) as sandbox:
        shop.broken = 1
        job = await shop.service.add_job("emails", "welcome", 1, attempts=2, backoff=60)
        with pytest.raises(ConnectionError, match="no mail server"):
            await sandbox.drain()
        waiting = await job.refresh()
        assert waiting is not None
        assert (waiting.state, waiting.failures) == (JobState.DELAYED, 1)
        assert await sandbox.drain(within=60) == 1  # what was raised before is not raised again

        shop.broken = 2
        job = await shop.service.add_job("emails", "welcome", 1, attempts=2, backoff=60)
        assert await sandbox.drain(within=60, raises=False) == 2
        failed = await job.refresh()
        assert failed is not None
        assert failed.state is JobState.FAILED


async def test_b10_signals_are_no_errors(shop: Shop) -> None:
    @shop.service.handler("q", "snooze")
    async def snooze(job: Job) -> None:
        if not shop.sent:
            shop.sent.append(job.id)
            raise Snooze(5)

    @shop.service.handler("q", "discard")
    async def discard(job: Job) -> None:
        raise Discard

    async with Sandbox(shop.service) as sandbox:
        await shop.service.add_job("q", "snooze")
        await shop.service.add_job("q", "discard")
        assert await sandbox.drain(within=5) == 3
        states = [job.state for job in sandbox.jobs("q")]
        assert states == [JobState.COMPLETED, JobState.FAILED]


@dataclass
class Order:
    number: int


async def test_b10_assertions_say_what_is_there(shop: Shop) -> None:
    @shop.service.job("orders")
    async def ship(order: Order) -> None:
        shop.sent.append(order)

    async with Sandbox(shop.service) as sandbox:
        with pytest.raises(AssertionError, match=r"no job like \('emails', any, any\); no job was"):
            sandbox.assert_enqueued("emails")
        await ship.enqueue(Order(1))
        await shop.service.add_job("emails", None, {"at": 5, "to": "ada"})
        sandbox.assert_enqueued(data=Order(1))
        sandbox.assert_enqueued("orders", "ship", count=1)
        sandbox.assert_enqueued("emails", None, {"at": ANY, "to": "ada"})
        sandbox.assert_not_enqueued("emails", "welcome")
        sandbox.assert_not_enqueued(data=Order(2))
        with pytest.raises(AssertionError) as caught:
            sandbox.assert_enqueued("orders", "ship", Order(2))
        assert "('orders', 'ship', Order(number=1)) waiting" in str(caught.value)
        with pytest.raises(AssertionError, match="1 jobs, not 2, like"):
            sandbox.assert_enqueued("orders", count=2)
        with pytest.raises(AssertionError, match=r"1 of the jobs are like \('orders'"):
            sandbox.assert_not_enqueued("orders")


async def test_b10_an_app_that_opens_and_closes_its_service_finds_its_jobs_again(
    shop: Shop,
) -> None:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with shop.service, shop.service.worker():
            yield

    with Sandbox(shop.service) as sandbox:
        async with lifespan():
            assert await (await shop.sign_up(1)).wait(timeout=100) == "sent"
        sandbox.assert_enqueued("emails", "welcome", {"user": 1})
        await shop.sign_up(2)  # opens by itself
        assert await sandbox.drain() == 1
    assert not shop.file.exists()


async def test_b10_sandboxes_follow_each_other_and_share_nothing(shop: Shop) -> None:
    for user in (1, 2):
        async with Sandbox(shop.service) as sandbox:
            await shop.sign_up(user)
            assert [job.data for job in sandbox.jobs()] == [{"user": user}]
            await sandbox.drain()
    assert shop.sent == [{"user": 1}, {"user": 2}]


async def test_b10_an_open_service_is_refused(shop: Shop) -> None:
    async with shop.service:
        with pytest.raises(ConfigError, match="close it first"):
            Sandbox(shop.service).__enter__()
        await shop.sign_up(1)
        assert await shop.service.run_until_idle() == 1


async def test_b10_a_transaction_of_the_app_is_refused(shop: Shop) -> None:
    async with Sandbox(shop.service) as sandbox:
        with pytest.raises(Unsupported):
            await shop.service.add_job("emails", "welcome", within=object())
        sandbox.assert_not_enqueued()


async def test_b10_an_async_service_is_awaited(shop: Shop) -> None:
    async with Sandbox(shop.service) as sandbox:
        with pytest.raises(ConfigError, match="use `await sandbox"):
            sandbox.drain_blocking()


@pytest.mark.parametrize("inline", [False, True])
def test_b10_a_blocking_service_is_drained_without_a_loop(tmp_path: Path, *, inline: bool) -> None:
    service = sync.QueueService(f"sqlite:///{tmp_path}/jobs.db")
    ran: list[object] = []

    @service.handler("q", "n")
    def handle(job: Job) -> None:
        ran.append(job.data)

    for _ in range(2):
        with Sandbox(service, inline=inline) as sandbox:
            ran.clear()
            service.add_job("q", "n", 1)
            service.add_job("q", "n", 2, delay=60)
            assert ran == ([1] if inline else [])
            assert sandbox.drain_blocking(within=60) == (1 if inline else 2)
            assert ran == [1, 2]
    assert list(tmp_path.iterdir()) == []
    service.add_job("q", "n", 3)  # on its own store again, and opened by the first call
    assert service.run_until_idle() == 1
    service.close()
    assert (tmp_path / "jobs.db").exists()


async def test_b10_a_blocking_service_is_not_awaited(tmp_path: Path) -> None:
    service = sync.QueueService(f"sqlite:///{tmp_path}/jobs.db")
    with Sandbox(service) as sandbox, pytest.raises(ConfigError, match="drain_blocking"):
        await sandbox.drain()
