"""A06, A09, F17, F19, F24, R08: what a process does to a store, and a store to a process."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from tests.faults.handles import opened
from tests.patience import PATIENCE

from jobyard import JobState, QueueService, Reason
from jobyard.clock import ManualClock

LONE = Path(__file__).with_name("lone.py")


async def run(role: str, url: str, *flags: str) -> tuple[int | None, str, str]:
    """Run a program to its end; tell its exit code and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *flags, str(LONE), role, url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.case("A06")
async def test_an_event_loop_that_ends_first_does_not_keep_the_process(shared_url: str) -> None:
    code, _, complaints = await run("forgets", shared_url)
    assert code == 0, complaints
    async with QueueService(shared_url) as service:
        assert len(await service.list_jobs("q")) in {1, 2}


@pytest.mark.case("A09")
async def test_nothing_is_warned_of_in_debug_mode(shared_url: str) -> None:
    code, _, complaints = await run("works", shared_url, "-X", "dev", "-W", "error")
    assert (code, complaints) == (0, "")


@pytest.mark.case("F24")
async def test_a_forked_child_is_told_and_the_parent_works_on(shared_url: str) -> None:
    code, told, complaints = await run("forks", shared_url)
    assert (code, told.splitlines()) == (0, ["0", "['a', 'b']"]), complaints


@pytest.mark.case("R08")
async def test_a_process_without_a_file_descriptor_left_is_told_and_goes_on_later(
    shared_url: str,
) -> None:
    code, told, complaints = await run("starves", shared_url)
    assert code == 0, complaints
    errors, jobs = told.splitlines()
    assert errors in {"[]", "['True True']"}, "other errors than ours, or ours that are for good"
    assert jobs == "['after', 'before']"


@pytest.mark.parametrize(("how", "code"), [("segfault", -signal.SIGSEGV), ("exit", 0)])
@pytest.mark.case("F17", "F19")
async def test_a_job_that_ends_its_process_ends_as_a_crash_loop(
    shared_url: str, how: str, code: int
) -> None:
    url = shared_url
    async with QueueService(url) as service:
        job = await service.add_job("q", "poison", how, max_crashes=1)
        neighbour = await service.add_job("q", "good", priority="low")
        assert (await run("dies", url))[0] == code
        assert (await job.refresh()).state is JobState.ACTIVE
        later = ManualClock((await service.health()).now + 2 * 3_600_000)
        async with opened(url, clock=later) as handle:
            assert [each.job_id for each in await handle.reap(limit=10)] == [job.id]
        ended = await job.refresh()
        assert (ended.state, ended.reason) == (JobState.FAILED, Reason.CRASH_LOOP)
        assert (ended.crashes, ended.failures) == (1, 0)
        service.handler("q", "good")(lambda job: "well")
        assert await service.run_until_idle() == 1
        assert (await neighbour.refresh()).result == "well"
