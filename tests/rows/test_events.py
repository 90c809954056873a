"""K-130 to K-136: what happened is told."""

from __future__ import annotations

import asyncio
import logging
import time

import msgspec
import pytest
from tests.patience import PATIENCE

from jobyard import QueueService
from jobyard.errors import InvalidOption, StoreBusy


async def test_k130_each_transition_once_and_in_order(service: QueueService, record) -> None:
    seen = record(service)

    @service.handler("q", "good")
    async def good(job):
        return 1

    @service.handler("q", "bad")
    async def bad(job):
        raise ValueError("bad")

    one = await service.add_job("q", "good")
    two = await service.add_job("q", "bad", attempts=3, backoff=0)
    await service.run_until_idle()
    await seen.until("finished", 2)
    assert seen.names(one.id) == ["added", "active", "completed", "finished"]
    runs = ["active", "attempt_failed"] * 3
    assert seen.names(two.id) == ["added", *runs, "failed", "finished"]


async def test_k131_events_of_other_services_say_who_and_what(make, record) -> None:
    service, other = await make(), await make()
    seen = record(other)
    await other.list_queues()

    @service.handler("q", "n")
    async def n(job):
        await job.update_progress(1)
        return "done"

    job = await service.add_job("q", "n")
    await service.run_until_idle()
    await seen.until("finished")
    mine = [event for event in seen.events if event.job_id == job.id]
    assert [e.name for e in mine] == ["added", "active", "progress", "completed", "finished"]
    assert {(e.queue, e.job_name) for e in mine} == {("q", "n")}
    assert all(e.worker_id for e in mine if e.name != "added")
    assert [e.at for e in mine] == sorted(e.at for e in mine)
    assert mine[3].data == "done"


@pytest.mark.parametrize("url", ["memory"], indirect=True)
async def test_k131_a_worker_is_heard_from_its_first_beat(
    service: QueueService, record, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe = service.backend.subscribe

    async def late(*which: str, ttl_ms: int) -> str:
        for _ in range(1_000):
            await asyncio.sleep(0)
        return await subscribe(*which, ttl_ms=ttl_ms)

    monkeypatch.setattr(service.backend, "subscribe", late)
    seen = record(service)
    async with service.worker(name="w"):
        (started,) = await seen.until("worker_started")
    assert started.worker_id is not None
    assert started.worker_id.startswith("w:")


@pytest.mark.parametrize("url", ["memory"], indirect=True)
async def test_k131_a_store_that_is_away_stops_no_worker_for_its_listeners(
    service: QueueService, record, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe, is_away = service.backend.subscribe, asyncio.Event()

    async def away(*which: str, ttl_ms: int) -> str:
        if is_away.is_set():
            return await subscribe(*which, ttl_ms=ttl_ms)
        is_away.set()
        raise StoreBusy("away")

    monkeypatch.setattr(service.backend, "subscribe", away)
    seen = record(service)
    async with service.worker():
        await is_away.wait()
        await service.list_queues()  # asks anew
    await seen.until("worker_stopped")


@pytest.mark.parametrize("url", ["memory"], indirect=True)
async def test_k131_a_worker_that_waits_for_its_listeners_can_be_stopped(
    service: QueueService, record, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_asked = asyncio.Event()

    async def frozen(*_: str, ttl_ms: int) -> str:
        is_asked.set()
        await asyncio.Event().wait()
        raise AssertionError(ttl_ms)

    monkeypatch.setattr(service.backend, "subscribe", frozen)
    record(service)
    worker = service.worker()
    async with worker:
        await is_asked.wait()
        await worker.stop()
    service.abandon()


async def test_k131_events_of_ends_that_are_no_success(make, record) -> None:
    service, other = await make(), await make()
    seen = record(other)
    await other.list_queues()

    @service.handler("q", "bad")
    async def bad(job):
        raise ValueError("bad")

    failing = await service.add_job("q", "bad")
    await service.run_until_idle()
    await service.add_job("q", "held")
    (held,) = await service.claim("q", lease=0.05, worker="gone")
    work = asyncio.create_task(service.worker(poll_interval=0.02).run())
    (stalled,) = await seen.until("stalled")
    assert (stalled.queue, stalled.job_id, stalled.job_name) == ("q", held.id, "held")
    assert stalled.worker_id == "gone"
    (failed,) = await seen.until("failed")
    assert (failed.queue, failed.job_id, failed.job_name) == ("q", failing.id, "bad")
    assert failed.worker_id
    assert failed.data.message == "bad"
    await service.remove_job(failing.id)
    (removed,) = await seen.until("removed")
    assert (removed.queue, removed.job_id, removed.job_name) == ("q", failing.id, "bad")
    assert failed.at <= stalled.at <= removed.at
    await service.close()
    await work


@pytest.mark.case("A10")
async def test_k133_a_listener_that_raises_hinders_nobody(service, record, caplog) -> None:
    def broken(event):
        raise RuntimeError("listener")

    async def broken_too(event):
        raise RuntimeError("async listener")

    service.on("completed", broken)
    service.on("*", broken_too)
    seen = record(service, "completed")

    @service.handler("q", "n")
    async def n(job):
        return 1

    with caplog.at_level(logging.CRITICAL, logger="jobyard.events"):
        for _ in range(3):
            await service.add_job("q", "n")
        await service.run_until_idle()
        await seen.until("completed", 3)
    assert (await service.get_stats("q")).completed == 3


async def test_k134_drained_once_per_empty_period(service: QueueService, record) -> None:
    seen = record(service)

    @service.handler("q", "n")
    async def n(job):
        return None

    for expected in (1, 2):
        await service.add_jobs("q", [("n", n) for n in range(5)])
        await service.add_job("q", "n", delay=3600)
        await service.run_until_idle(concurrency=2)
        await seen.until("completed", 5 * expected)
        assert len(await seen.until("drained", expected)) == expected


async def test_k135_durations(service: QueueService, record) -> None:
    seen = record(service)

    @service.handler("q", "n")
    async def n(job):
        await asyncio.sleep(0.05)
        if job.attempt == 1:
            raise ValueError

    begun = time.monotonic()
    await service.add_job("q", "n", attempts=2, backoff=0)
    await service.run_until_idle()
    took = time.monotonic() - begun
    (failed,) = await seen.until("attempt_failed")
    (completed,) = await seen.until("completed")
    for event in (failed, completed):
        assert event.duration is not None
        assert 0.045 < event.duration <= took, "seconds, not milliseconds"
        assert event.worker_id
    assert failed.data.type == "ValueError"
    assert (failed.attempt, completed.attempt) == (1, 2)


async def test_k136_workers_tell_of_themselves(make, record, monkeypatch) -> None:
    # Beats that come soon, of a worker that is not taken for gone however long this stands still.
    monkeypatch.setattr("jobyard.worker.chores.MISSED_BEATS", PATIENCE)
    service, other = await make(), await make()
    seen = record(other)
    await other.list_queues()

    release = asyncio.Event()

    @service.handler("q", "n")
    async def n(job):
        await release.wait()

    await service.add_job("q", "n")
    worker = service.worker(name="alpha", lease=1)
    work = asyncio.create_task(worker.run())
    await seen.until("active")
    await seen.until("heartbeat")
    closing = asyncio.create_task(service.close())
    await seen.until("worker_stopping")
    release.set()
    await closing
    await work
    await seen.until("worker_stopped")
    told = [event for event in seen.events if event.name.startswith(("worker", "heart"))]
    names = [event.name for event in told if event.name != "heartbeat"]
    assert names == ["worker_started", "worker_stopping", "worker_stopped"]
    assert {event.worker_id for event in told} == {worker.id}
    assert "alpha" in worker.id


async def test_listeners_come_and_go(service: QueueService, record) -> None:
    got = []
    listener = service.on("added", lambda event: got.append(event.job_id))
    seen = record(service, "added")
    first = await service.add_job("q", "n")
    await seen.until("added")
    service.off("added", listener)
    service.off("added", listener)
    await service.add_job("q", "n")
    await seen.until("added", 2)
    assert got == [first.id]
    with pytest.raises(InvalidOption, match="there is no event"):
        service.on("complete", listener)


async def test_a_listener_that_comes_after_closing_waits_for_the_next_opening(
    url: str, make, record, caplog
) -> None:
    await make()  # holds a memory yard open
    service = QueueService(url)
    async with service:
        pass
    seen = record(service, "added")
    async with service:
        job = await service.add_job("q", "n")
        await seen.until("added")
    assert [event.job_id for event in seen.events] == [job.id]


async def test_a_subscription_that_failed_is_made_by_the_next_call(
    service: QueueService, record, monkeypatch
) -> None:
    async def subscribe(*_args, **_kwargs):
        raise StoreBusy

    with monkeypatch.context() as patched:
        patched.setattr(service.backend, "subscribe", subscribe)
        seen = record(service, "added")
        with pytest.raises(StoreBusy):
            await service.list_queues()
    job = await service.add_job("q", "n")
    await seen.until("added")
    assert [event.job_id for event in seen.events] == [job.id]


async def test_an_error_between_pages_tells_no_event_twice(
    service: QueueService, record, monkeypatch
) -> None:
    events, calls = service.backend.events, []

    async def failing(**kwargs):
        calls.append(kwargs["after"])
        if len(calls) == 3:
            raise StoreBusy
        return await events(**kwargs)

    monkeypatch.setattr("jobyard.announce.PAGE", 2)
    monkeypatch.setattr("jobyard.announce.PAUSE_AFTER_ERROR_SECONDS", 0.01)
    seen = record(service, "added")
    await service.list_queues()
    monkeypatch.setattr(service.backend, "events", failing)
    jobs = await service.add_jobs("q", [("n", n) for n in range(9)])
    await seen.until("added", 9)
    assert len(calls) > 3
    assert [event.job_id for event in seen.events] == [job.id for job in jobs]


async def test_a_listener_may_close_its_service(url: str, caplog) -> None:
    service = QueueService(url)
    service.register_worker("q", "n", lambda: None)

    closed = asyncio.Event()

    async def finished(_event):
        await service.close()
        closed.set()

    service.on("finished", finished)
    await service.open()
    await service.add_job("q", "n")
    async with asyncio.timeout(PATIENCE):
        await service.run()
        await closed.wait()
    assert not service.is_connected
    assert [r.getMessage() for r in caplog.records if r.name == "jobyard.events"] == []


async def test_an_event_that_cannot_be_read_hinders_no_other(
    service: QueueService, record, monkeypatch, caplog
) -> None:
    events = service.backend.events

    async def spoilt(**kwargs):
        page = await events(**kwargs)
        told = [
            msgspec.structs.replace(event, data=b"{") if event.name == "bad" else event
            for event in page.events
        ]
        return msgspec.structs.replace(page, events=tuple(told))

    monkeypatch.setattr(service.backend, "events", spoilt)
    seen = record(service, "added")
    await service.add_job("q", "bad")
    good = await service.add_job("q", "good")
    await seen.until("added")
    assert [event.job_id for event in seen.events] == [good.id]
    assert "an event of 'added' cannot be told" in caplog.text


async def test_events_on_their_way_are_delivered_at_closing(url: str, record) -> None:
    service = QueueService(url)
    await service.open()
    seen = record(service)
    await service.add_jobs("q", [("n", n) for n in range(2500)])
    await service.close()
    assert len(seen.events) == 2500


async def test_closing_ends_though_events_never_do(url: str, make, monkeypatch) -> None:
    monkeypatch.setattr("jobyard.announce.PAGE", 2)
    service, other = QueueService(url), await make()
    told = asyncio.Event()

    async def add_two_more(_event):
        await other.add_jobs("q", [("n", None)] * 2)
        told.set()

    service.on("added", add_two_more)
    async with asyncio.timeout(PATIENCE):
        await service.open()
        await service.add_job("q", "n")
        await told.wait()
        await service.close()
    assert (await other.get_stats("q")).waiting > 2


async def test_closing_lets_go_of_all_whatever_fails_in_it(
    url: str, make, record, monkeypatch
) -> None:
    await make()  # holds a memory yard open
    service = QueueService(url)
    seen = record(service, "added")

    async def fail():
        raise RuntimeError("closing failed")

    await service.open()
    with monkeypatch.context() as patched:
        patched.setattr(service._waiters, "close", fail)
        with pytest.raises(RuntimeError, match="closing failed"):
            await service.close()
    assert "jobyard events" not in {task.get_name() for task in asyncio.all_tasks()}
    async with service:
        job = await service.add_job("q", "n")
        await seen.until("added")
    assert [event.job_id for event in seen.events] == [job.id]


async def test_k132_the_log_is_followed_and_replayed_from_an_event(make) -> None:
    service, other, third = await make(), await make(), await make()
    following = other.events()
    first = asyncio.create_task(anext(following))
    while not await _logs(service):
        await asyncio.sleep(0.01)
    jobs = await service.add_jobs("q", [("n", n) for n in range(3)])
    event = await asyncio.wait_for(first, PATIENCE)
    while event.name != "added":  # what the look at the log has done to the queue
        event = await asyncio.wait_for(anext(following), PATIENCE)
    seen = [event]
    seen += [await asyncio.wait_for(anext(following), PATIENCE) for _ in range(2)]
    assert [(e.name, e.job_id) for e in seen] == [("added", job.id) for job in jobs]

    replayed = third.events(since=seen[0].id)
    again = [await asyncio.wait_for(anext(replayed), PATIENCE) for _ in range(2)]
    assert again == seen[1:]
    await service.pause_queue("q")
    news = [await asyncio.wait_for(anext(each), PATIENCE) for each in (following, replayed)]
    assert [(e.name, e.queue) for e in news] == [("paused", "q")] * 2
    for each in (following, replayed):
        await each.aclose()


async def _logs(service) -> bool:
    """Whether the store logs: the one who follows has subscribed."""
    cursor = await service.backend.subscribe("probe", ttl_ms=0)
    await service.resume_queue("q")
    await service.pause_queue("q")
    await service.resume_queue("q")
    return bool((await service.backend.events(after=cursor)).events)


async def test_k132_a_time_that_nobody_listened_is_a_gap(make) -> None:
    service, other = await make(), await make()
    following = other.events()
    waiting = asyncio.create_task(anext(following))
    while not await _logs(service):
        await asyncio.sleep(0.01)
    known = await asyncio.wait_for(waiting, PATIENCE)
    await following.aclose()
    await service.add_job("q", "n")  # told to nobody

    later = other.events(since=known.id)
    waiting = asyncio.create_task(anext(later))
    assert (await asyncio.wait_for(waiting, PATIENCE)).name in {"gap", "paused", "resumed"}
    await later.aclose()


@pytest.mark.parametrize("wrong", ["", "5", "x~y", "~3", "1~99999"])
async def test_k132_what_is_no_id_of_an_event_is_refused(service: QueueService, wrong) -> None:
    with pytest.raises(InvalidOption, match="id of an event"):
        await anext(service.events(since=wrong))
