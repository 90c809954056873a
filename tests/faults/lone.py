"""Programs that a test runs in a process of their own: `python lone.py ROLE URL`."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import resource
import sys
import threading

from jobyard import Job, QueueService
from jobyard.errors import BackendError


def say(fact: object) -> None:
    sys.stdout.write(f"{fact}\n")
    sys.stdout.flush()


async def forgets(url: str) -> None:
    """Leave a service open, with a call in flight, when the event loop ends."""
    service = await QueueService(url).open()
    await service.add_job("q", "n")
    in_flight = asyncio.ensure_future(service.add_job("q", "n"))
    await asyncio.sleep(0)
    assert not in_flight.done()


async def works(url: str) -> None:
    """Add, run, look, listen, retry, stop: what a day brings."""
    asyncio.get_running_loop().slow_callback_duration = 3_600.0  # how fast it is, is another matter
    logging.getLogger("jobyard").setLevel(logging.ERROR)  # runs that fail are warned of
    service = QueueService(url)

    @service.handler("q", "n")
    async def n(job: Job) -> object:
        if job.failures == 0:
            raise ValueError(job.data)
        await asyncio.sleep(0.001)
        return job.data

    @service.handler("q", "thread")
    def in_a_thread(job: Job) -> str:
        return threading.current_thread().name

    seen: list[object] = []
    async with service:
        service.on("completed", seen.append)
        async with service.worker(poll_interval=0.05):
            options = {"attempts": 2, "backoff": 0}
            jobs = await service.add_jobs("q", [("n", number, options) for number in range(20)])
            jobs.append(await service.add_job("q", "thread"))
            await asyncio.gather(*(job.wait(timeout=100) for job in jobs))
            call = asyncio.ensure_future(service.list_jobs("q"))
            await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
            assert (await service.get_stats("q")).completed == 21


async def forks(url: str) -> None:
    """Use a service in a child that was forked after it was opened, and go on in the parent."""
    async with QueueService(url) as service:
        await service.add_job("q", "parent", job_id="a")
        if (child := os.fork()) == 0:
            os._exit(await told_in_the_child(service))
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        say(os.waitstatus_to_exitcode(status))
        await asyncio.gather(*(service.get_job("a") for _ in range(20)))
        await service.add_job("q", "parent", job_id="b")
        say(sorted([job.id async for job in service.iter_jobs("q")]))


async def told_in_the_child(service: QueueService) -> int:
    try:
        await service.backend.get(["a"])
    except BackendError as error:
        return 0 if "forked" in str(error) else 1
    return 2


async def dies(url: str) -> None:
    """Run jobs, one of which ends the process as its data says."""
    service = QueueService(url)

    @service.handler("q", "poison")
    async def poison(job: Job) -> None:
        if job.data == "segfault":
            ctypes.string_at(0)
        os._exit(0)

    @service.handler("q", "good")
    async def good(job: Job) -> str:
        return "well"

    await service.run(concurrency=1, lease=3_600, poll_interval=0.05)


async def starves(url: str) -> None:
    """Have no file descriptor left for a while."""
    async with QueueService(url) as service:
        await service.add_job("q", "n", job_id="before")
        lowest = os.dup(0)  # every descriptor below it is in use
        os.close(lowest)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        calls = [service.get_job("before") for _ in range(40)]
        found = await asyncio.gather(*calls, return_exceptions=True)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        wrong = [each for each in found if isinstance(each, BaseException)]
        say(sorted({f"{isinstance(each, BackendError)} {_transient(each)}" for each in wrong}))
        async with asyncio.timeout(100):
            await asyncio.gather(*(service.get_job("before") for _ in range(40)))
        await service.add_job("q", "n", job_id="after")
        say(sorted([job.id async for job in service.iter_jobs("q")]))


def _transient(error: BaseException) -> bool:
    return bool(getattr(error, "transient", False))


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))
