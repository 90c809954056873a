"""Hooks around adds and runs, before the first worker and after the last; errors by their class."""

from __future__ import annotations

import asyncio
import logging

import pytest
from tests.patience import PATIENCE

from jobyard import Backoff, Discard, JobState, Reason, Retry
from jobyard.errors import ConfigError, InvalidOption


async def test_each_run_goes_through_the_hooks_the_first_outermost(service) -> None:
    told: list[str] = []

    @service.around_run
    async def outer(job, run):
        told.append(f"outer {job.name}")
        try:
            return [await run(job), "outer"]
        finally:
            told.append("outer ends")

    @service.around_run
    async def inner(job, run):
        told.append("inner")
        return [await run(job), "inner"]

    @service.handler("q", "loop")
    async def in_loop(job):
        return "loop"

    @service.handler("q", "thread")
    def in_thread(job):
        raise ValueError("no")

    job = await service.add_job("q", "loop")
    await service.run_until_idle()
    assert (await job.refresh()).result == [["loop", "inner"], "outer"]
    assert told == ["outer loop", "inner", "outer ends"]
    lost = await service.add_job("q", "thread")
    await service.run_until_idle()
    assert "ValueError" in (await lost.refresh()).error.type
    assert told[3:] == ["outer thread", "inner", "outer ends"]


@pytest.mark.case("A10")
async def test_a_hook_may_answer_without_running_or_refuse(service) -> None:
    ran: list[str] = []

    @service.around_run
    async def gate(job, run):
        if job.data == "cached":
            return "from the cache"
        if job.data == "bad":
            raise Discard("refused by a hook")
        return await run(job)

    @service.handler("q", "n")
    async def n(job):
        ran.append(job.data)

    jobs = await service.add_jobs("q", [("n", each) for each in ("cached", "bad", "good")])
    await service.run_until_idle()
    cached, bad, good = [await job.refresh() for job in jobs]
    assert (cached.result, bad.state, bad.reason) == (
        "from the cache",
        JobState.FAILED,
        Reason.REFUSED,
    )
    assert (good.state, ran) == (JobState.COMPLETED, ["good"])


async def test_each_add_goes_through_the_hooks(service) -> None:
    @service.around_add
    async def trace(jobs, add):
        for draft in jobs:
            draft.options["headers"] = {"trace": "7"}
        added = await add(jobs)
        assert [job.id for job in added]
        return added

    @service.around_add
    async def drop_secrets(jobs, add):
        return await add([draft for draft in jobs if draft.data != "secret"])

    one = await service.add_job("q", "n", 1, priority="high")
    many = await service.add_jobs("q", [("n", 2), ("n", "secret"), ("n", 3, {"delay": 60})])
    assert (one.headers, one.priority) == ({"trace": "7"}, 10)
    assert [job.data for job in many] == [2, 3]
    listed = await service.list_jobs("q")
    assert [dict(job.headers) for job in listed] == [{"trace": "7"}] * 3
    with pytest.raises(InvalidOption, match=r"jobs\[1\]"):
        await service.add_jobs("q", [("n", 1), ("n", 1, {"attempts": 0})])
    with pytest.raises(TypeError, match=r"jobs\[0\]: unknown job option"):
        await service.add_job("q", "n", atempts=3)
    assert len(await service.list_jobs("q")) == 3


async def test_workers_share_what_is_got_ready_before_the_first(service) -> None:
    told: list[str] = []

    @service.on_startup
    async def connect():
        told.append("start")
        service.resources["client"] = "a client"

    @service.on_startup
    def also():
        told.append("also")

    @service.on_shutdown
    async def disconnect():
        told.append(f"stop {service.resources.pop('client')}")

    @service.on_shutdown
    def first_at_the_end():
        told.append("first")

    @service.handler("q", "n")
    async def n(job):
        return job.resources["client"]

    job = await service.add_job("q", "n")
    assert told == []
    workers = [service.worker(poll_interval=0.05) for _ in range(2)]
    running = [asyncio.create_task(worker.run()) for worker in workers]
    assert await job.wait(timeout=PATIENCE) == "a client"
    await workers[0].stop()
    assert told == ["start", "also"]
    await workers[1].stop()
    await asyncio.gather(*running)
    assert told == ["start", "also", "first", "stop a client"]
    await service.add_job("q", "n")
    await service.run_until_idle()
    assert told[4:] == ["start", "also", "first", "stop a client"]


async def test_what_a_hook_of_the_start_raises_keeps_the_worker_from_beginning(
    service, caplog
) -> None:
    told: list[str] = []

    @service.on_startup
    async def fails():
        raise OSError("no database")

    @service.on_shutdown
    async def fails_too():
        raise OSError("no database either")

    @service.on_shutdown
    async def comes_all_the_same():
        told.append("stop")

    @service.handler("q", "n")
    async def n(job): ...

    job = await service.add_job("q", "n")
    with caplog.at_level(logging.ERROR), pytest.raises(OSError, match="no database"):
        await service.worker().run()
    assert (await job.refresh()).state is JobState.WAITING
    assert told == ["stop"]
    assert "fails_too failed" in caplog.text


class Timeout(OSError):
    pass


async def test_the_class_of_an_error_says_what_follows(service) -> None:
    errors = {
        "fatal": KeyError("gone"),
        "near": Timeout("slow"),
        "far": PermissionError("no"),
        "other": ValueError("x"),
        "steered": Retry("again", delay=50),
    }

    @service.handler(
        "q",
        "n",
        on_error={LookupError: "fail", OSError: 300, Timeout: Backoff.fixed(20)},
    )
    async def n(job):
        raise errors[job.data]

    jobs = {name: await service.add_job("q", "n", name, attempts=3, backoff=7) for name in errors}
    await service.run_until_idle()
    found = {name: await job.refresh() for name, job in jobs.items()}
    fatal = found.pop("fatal")
    assert (fatal.state, fatal.reason, fatal.failures) == (JobState.FAILED, Reason.REFUSED, 1)
    waits = {name: (job.due_at - job.started_at).total_seconds() for name, job in found.items()}
    assert {name: round(wait, -1) for name, wait in waits.items()} == {
        "near": 20,
        "far": 300,
        "other": 10,
        "steered": 50,
    }


@pytest.mark.parametrize(
    "rules", [5, {"x": 5}, {ValueError: "retry"}, {ValueError: -1}, {KeyboardInterrupt: "fail"}]
)
async def test_rules_for_errors_that_mean_nothing_are_refused(service, rules) -> None:
    with pytest.raises(InvalidOption):
        service.handler("q", "n", on_error=rules)(lambda job: None)


async def test_hooks_that_cannot_be_called_are_refused_where_they_are_written(service) -> None:
    for register, wrong in (
        (service.around_run, lambda job, run: None),
        (service.around_add, 5),
        (service.on_startup, lambda worker: None),
        (service.on_shutdown, "close"),
    ):
        with pytest.raises(ConfigError):
            register(wrong)
