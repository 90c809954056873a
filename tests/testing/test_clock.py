"""The clock that a test moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobyard import QueueService
from jobyard.errors import InvalidOption
from jobyard.testing import FrozenClock

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


def test_it_stands_still_until_it_is_moved() -> None:
    clock = FrozenClock(NOON)
    assert clock.now == NOON
    assert clock.now_ms() == NOON.timestamp() * 1000
    assert clock.advance(1.5) == NOON + timedelta(seconds=1.5)
    assert clock.advance(timedelta(hours=1)) == NOON + timedelta(hours=1, seconds=1.5)
    assert clock.move_to(NOON + timedelta(days=1)) == clock.now == NOON + timedelta(days=1)


def test_without_an_instant_it_stands_at_that_of_its_making() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    assert before <= FrozenClock().now <= datetime.now(UTC) + timedelta(milliseconds=1)


def test_it_does_not_go_back() -> None:
    clock = FrozenClock(NOON)
    with pytest.raises(InvalidOption, match="does not go back"):
        clock.move_to(NOON - timedelta(seconds=1))
    with pytest.raises(InvalidOption, match="0 or more"):
        clock.advance(-1)
    with pytest.raises(InvalidOption, match="no time zone"):
        FrozenClock(datetime(2027, 3, 1))  # noqa: DTZ001 - what is refused
    assert clock.now == NOON


async def test_any_store_goes_by_it(tmp_path: object) -> None:
    clock = FrozenClock(NOON)
    ran: list[datetime] = []
    service = QueueService(f"sqlite:///{tmp_path}/jobs.db", clock=clock)

    @service.handler("q", "n")
    async def handle(job: object) -> None:
        ran.append(clock.now)

    async with service:
        job = await service.add_job("q", "n", delay=3600)
        assert await service.run_until_idle() == 0
        clock.advance(3600)
        assert await service.run_until_idle() == 1
        done = await job.refresh()
    assert done is not None
    assert ran == [NOON + timedelta(hours=1)]
    assert done.finished_at == ran[0]
