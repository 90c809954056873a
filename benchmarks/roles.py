"""What the processes of the benchmarks do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from benchmarks.book import percentile
from benchmarks.jobs import NAME, QUEUE, decode, encode, fill, opened, payload
from benchmarks.stage import Facts, Stage
from benchmarks.stores import store_for
from benchmarks.watch import Watch, now_bytes, peak_bytes
from jobyard import Backoff, Job, QueueService, RetentionPolicy, Retry
from jobyard.ids import new_lease_id
from jobyard.lease import Claim, Done, Settlement, Source

LEASE_MS: Final = 60_000


Role = Callable[[str, Stage, Facts], Awaitable[Facts]]


# -- adding -----------------------------------------------------------------------------------


async def add_one(url: str, stage: Stage, options: Facts) -> Facts:
    """Add jobs, one awaited call at a time."""
    async with QueueService(url) as service:
        stage.begin()
        watch = Watch()
        for number in range(options["first"], options["first"] + options["jobs"]):
            await service.add_job(QUEUE, NAME, payload(number))
        return watch.facts()


async def add_together(url: str, stage: Stage, options: Facts) -> Facts:
    """Add jobs from many tasks at once."""
    jobs, tasks = options["jobs"], options["tasks"]
    async with QueueService(url) as service:

        async def some(numbers: range) -> None:
            for number in numbers:
                await service.add_job(QUEUE, NAME, payload(number))

        stage.begin()
        watch = Watch()
        await asyncio.gather(*(some(range(task, jobs, tasks)) for task in range(tasks)))
        return watch.facts()


async def add_bulk(url: str, stage: Stage, options: Facts) -> Facts:
    """Add jobs in calls of many."""
    jobs, bulk = options["jobs"], options["bulk"]
    async with QueueService(url) as service:
        stage.begin()
        watch = Watch()
        for first in range(0, jobs, bulk):
            numbers = range(first, min(first + bulk, jobs))
            await service.add_jobs(QUEUE, [(NAME, payload(number)) for number in numbers])
        return watch.facts()


async def raw_add(url: str, stage: Stage, options: Facts) -> Facts:
    """Add rows with the driver alone."""
    await (await opened(url)).close()
    store = store_for(url)
    payloads = [encode(payload(number)) for number in range(options["jobs"])]
    stage.begin()
    watch = Watch()
    if options["awaited"]:
        seconds = await store.raw_add_awaited(url, payloads)
    else:
        seconds = store.raw_add(url, payloads)
    return {**watch.facts(), "seconds": seconds}


# -- processing -------------------------------------------------------------------------------


async def raw_drain(url: str, stage: Stage, options: Facts) -> Facts:
    """Process what waits with the driver alone."""
    stage.begin()
    watch = Watch()
    numbers, seconds = store_for(url).raw_drain(url, options["batch"])
    return {**watch.facts(), "seconds": seconds, "ran": numbers}


async def backend_drain(url: str, stage: Stage, options: Facts) -> Facts:
    """Process what waits through the backend's calls, without a worker."""
    backend = await opened(url)
    source = Source(queue=QUEUE, names=(NAME,))
    done = Done()
    numbers: list[int] = []
    held: list[Settlement] = []
    stage.begin()
    watch = Watch()
    while True:
        claim = Claim(
            lease_id=new_lease_id(),
            worker="bench",
            sources=(source,),
            limit=options["batch"],
            ttl_ms=LEASE_MS,
        )
        claimed = (await backend.settle(held, claim=claim)).claimed
        if claimed is None or not claimed.leases:
            break
        numbers += [decode(lease.payload)["user_id"] for lease in claimed.leases]
        held = [Settlement(lease, done) for lease in claimed.leases]
    facts = watch.facts()
    await backend.close()
    return {**facts, "ran": numbers}


async def drain(url: str, stage: Stage, options: Facts) -> Facts:
    """Process what waits with a worker, until nothing does."""
    service = QueueService(url)
    numbers: list[int] = []

    @service.handler(QUEUE, NAME)
    async def send(job: Job) -> None:
        numbers.append(job.data["user_id"])

    async with service:
        worker = service.worker(concurrency=options["concurrency"])
        before = peak_bytes()
        stage.begin()
        watch = Watch()
        began = time.monotonic_ns()
        await worker.run_until_idle()
        ended = time.monotonic_ns()
        facts = watch.facts()
    return {
        **facts,
        "began": began,
        "ended": ended,
        "ran": numbers,
        "peak": peak_bytes(),
        "before": before,
    }


async def drain_some(url: str, stage: Stage, options: Facts) -> Facts:
    """Process with a worker until so many jobs have started."""
    service = QueueService(url)
    numbers: list[int] = []
    enough = options["jobs"]
    ended = 0

    @service.handler(QUEUE, NAME)
    async def send(job: Job) -> None:
        nonlocal ended
        numbers.append(job.data["user_id"])
        if len(numbers) == enough:
            ended = time.monotonic_ns()
            worker.begin_stop()

    async with service:
        worker = service.worker(concurrency=options["concurrency"])
        stage.begin()
        watch = Watch()
        began = time.monotonic_ns()
        await worker.run()
        facts = watch.facts()
    return {**facts, "seconds": (ended - began) / 1e9, "ran": numbers}


async def fill_mixed(url: str, stage: Stage, options: Facts) -> Facts:
    """Add jobs to several queues, each with one of several priorities and one retry."""
    queues, priorities, bulk = options["queues"], options["priorities"], options["bulk"]
    async with QueueService(url) as service:
        stage.begin()
        for place, queue in enumerate(queues):
            numbers = range(place, options["jobs"], len(queues))
            for first in range(0, len(numbers), bulk):
                jobs = [
                    (NAME, payload(number), {"priority": priorities[number % len(priorities)]})
                    for number in numbers[first : first + bulk]
                ]
                await service.add_jobs(queue, jobs, attempts=2, backoff=Backoff.fixed(0))
    return {}


async def drain_mixed(url: str, stage: Stage, options: Facts) -> Facts:
    """Process what waits in several queues; some of ten jobs fail at their first attempt."""
    logging.getLogger("jobyard").setLevel(logging.ERROR)  # one line a failed run is not the work
    service = QueueService(url)
    numbers: list[int] = []
    failed: list[int] = []

    async def send(job: Job) -> None:
        number = job.data["user_id"]
        if number % 10 < options["failing"] and job.attempt == 1:
            failed.append(number)
            raise Retry
        numbers.append(number)

    for queue in options["queues"]:
        service.register_worker(queue, NAME, send)
    async with service:
        worker = service.worker(concurrency=options["concurrency"])
        stage.begin()
        watch = Watch()
        await worker.run_until_idle()
        facts = watch.facts()
    return {**facts, "ran": numbers, "failed": failed}


# -- waiting ----------------------------------------------------------------------------------


class Ear:
    """A service whose handler notes when each job starts."""

    def __init__(self, url: str) -> None:
        self.started: list[tuple[int, int]] = []
        self.service = QueueService(url)
        self.service.register_worker(QUEUE, NAME, self._hear)

    async def _hear(self, job: Job) -> None:
        self.started.append((job.data["user_id"], time.monotonic_ns()))


async def _call(service: QueueService, options: Facts) -> list[tuple[int, int]]:
    """Add a job now and then; return when each add was called."""
    called = []
    for number in range(options["jobs"]):
        await asyncio.sleep(options["pause"])
        called.append((number, time.monotonic_ns()))
        await service.add_job(QUEUE, NAME, payload(number))
    return called


async def call(url: str, stage: Stage, options: Facts) -> Facts:
    """Add a job now and then, for a worker elsewhere."""
    async with QueueService(url) as service:
        stage.begin()
        return {"called": await _call(service, options)}


async def hear(url: str, stage: Stage, options: Facts) -> Facts:
    """Run what others add, until told to end."""
    ear = Ear(url)
    async with ear.service, ear.service.worker():
        await asyncio.sleep(options["settle"])
        stage.say(ready=True)
        await stage.told()
    return {"started": ear.started}


async def call_and_hear(url: str, stage: Stage, options: Facts) -> Facts:
    """Add a job now and then, and run it in the same process."""
    ear = Ear(url)
    async with ear.service, ear.service.worker():
        await asyncio.sleep(options["settle"])
        stage.begin()
        called = await _call(ear.service, options)
        await asyncio.sleep(options["settle"])
    return {"called": called, "started": ear.started}


async def raw_start(url: str, stage: Stage, options: Facts) -> Facts:
    """Add a job now and then, and claim it at another connection, with the driver alone."""
    await fill(url, range(1))
    store = store_for(url)
    store.raw_drain(url, 1)  # the queue is known, as it is to a worker
    payloads = [encode(payload(number)) for number in range(options["jobs"])]
    stage.begin()
    return {"seconds": store.raw_starts(url, payloads, options["pause"])}


async def idle(url: str, stage: Stage, options: Facts) -> Facts:
    """Wait for jobs that do not come; tell what share of a core that took."""
    with store_for(url).counting(url) as operations:
        ear = Ear(url)
        async with ear.service, ear.service.worker():
            await asyncio.sleep(options["settle"])
            stage.say(ready=True)
            await stage.told()
            before = operations()
            watch = Watch()
            await asyncio.sleep(options["seconds"])
            facts = watch.facts()
            asked = operations() - before
    return {
        "share": facts["cpu"] / facts["seconds"],
        "operations": asked / facts["seconds"],
        "peak": peak_bytes(),
    }


async def soak(url: str, stage: Stage, options: Facts) -> Facts:
    """Add jobs at a steady rate and run them, telling of each window of time."""
    rate, windows, window = options["rate"], options["windows"], options["window"]
    ran = bytearray(int(rate * window) * windows)
    left = len(ran)
    called: dict[int, int] = {}
    delays: list[float] = []
    finished = asyncio.Event()
    service = QueueService(url, retention=RetentionPolicy(completed=options["keep"]))

    @service.handler(QUEUE, NAME)
    async def send(job: Job) -> None:
        nonlocal left
        number = job.data["user_id"]
        ran[number] = min(ran[number] + 1, 255)
        delays.append((time.monotonic_ns() - called.pop(number)) / 1e6)
        left -= 1
        if not left:
            finished.set()

    async def add(number: int) -> None:
        called[number] = time.monotonic_ns()
        await service.add_job(QUEUE, NAME, payload(number))

    async def steadily(numbers: range) -> None:
        began = time.monotonic()
        for place, number in enumerate(numbers):
            ahead = began + place / rate - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)
            await add(number)

    async with service:
        worker = service.worker(concurrency=50)
        running = asyncio.create_task(worker.run())
        stage.begin()
        size = len(ran) // windows
        for first in range(0, len(ran), size):
            watch = Watch()
            await steadily(range(first, first + size))
            seen = sorted(delays) or [0.0]
            delays.clear()
            stage.say(
                seconds=watch.facts()["seconds"],
                jobs=len(seen),
                p50=percentile(seen, 50),
                p99=percentile(seen, 99),
                memory=now_bytes() / 2**20,
            )
        await finished.wait()
        await worker.stop()
        await running
    return {"jobs": len(ran), "wrong": sum(times != 1 for times in ran)}


ROLES: Final[dict[str, Role]] = {
    role.__name__: role
    for role in (
        add_one,
        add_together,
        add_bulk,
        raw_add,
        raw_drain,
        backend_drain,
        drain,
        drain_some,
        fill_mixed,
        drain_mixed,
        call,
        hear,
        call_and_hear,
        raw_start,
        idle,
        soak,
    )
}
