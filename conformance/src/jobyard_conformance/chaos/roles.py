"""What the processes of a chaos run do, each until it is asked to end by SIGTERM."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from jobyard import Job
from jobyard.ids import new_lease_id
from jobyard.lease import Claim, Done, Lease, Settlement, Source
from jobyard.signals import Retry, Snooze
from jobyard.worker import stop_on_signals
from jobyard_conformance.chaos.post import POLL_SECONDS, QUEUE, TICKS, Post, Watched, pause, persist
from jobyard_conformance.chaos.producing import Producer
from jobyard_conformance.chaos.ticking import add_schedules
from jobyard_conformance.history import Recorder, Session

__all__ = ["ROLES"]

CONCURRENCY: Final = 6
GRACE_SECONDS: Final = 5.0


async def work(post: Post) -> None:
    """Be a worker as an app has it."""
    await _work(post, QUEUE)


async def schedule(post: Post) -> None:
    """Add the schedules, fire their ticks as any worker does, and run what one of them adds."""
    await _work(post, TICKS)


async def _work(post: Post, queue: str) -> None:
    with Recorder(post.history) as recorder:
        service = Watched(post, recorder)

        @service.handler(queue, "run")
        async def run(job: Job) -> int:
            return await _run(job, post.lease)

        await service.open_in_time()
        if queue == TICKS:
            await persist(lambda: add_schedules(service))
        worker = service.worker(
            concurrency=CONCURRENCY,
            lease=post.lease,
            poll_interval=POLL_SECONDS,
            shutdown_timeout=GRACE_SECONDS,
            name=post.name,
        )
        with stop_on_signals(worker):
            await worker.run()
        await service.close()
        service.session.leave()


async def _run(job: Job, lease: float) -> int:
    """Take a while, now and then longer than a lease without renewal, and fail now and then."""
    chance = random.Random(f"{job.id}#{job.fence}")
    await asyncio.sleep(chance.choice([0.005, 0.02, 0.1, 0.3]))
    if chance.random() < 0.02:
        await asyncio.sleep(lease * chance.uniform(0.5, 1.5))
    draw = chance.random()
    if draw < 0.05:
        raise RuntimeError("it failed by chance")
    if draw < 0.08:
        raise Retry(delay=0.1)
    if draw < 0.11:
        raise Snooze(0.1)
    return job.fence


async def produce(post: Post) -> None:
    """Add jobs of all kinds, each again under its id until that is acknowledged."""
    ended = _asked_to_end()
    with Recorder(post.history) as recorder:
        service = Watched(post, recorder)
        await service.open_in_time()
        await Producer(service, post.chance()).run(ended)
        await service.close()
        service.session.leave()


async def linger(post: Post) -> None:
    """Claim, hold for less or more than the lease lasts, and settle whatever the lease is worth.

    This is what a worker does that was held up for so long, and that asks nobody before it writes.
    """
    ended = _asked_to_end()
    chance = post.chance()
    with Recorder(post.history) as recorder:
        session = recorder.observe(post.handle(), post.name)
        await persist(session.backend.open)
        while not ended.is_set():
            leases = await _claim(session, post, chance.randint(1, 4))
            for lease in leases:
                session.start(lease)
            if not leases:
                await pause()
                continue
            await asyncio.sleep(post.lease * chance.choice([0.05, 0.1, 0.6, 1.3, 1.8]))
            await _settle(session, leases)
        await session.backend.close()
        session.leave()


async def _claim(session: Session, post: Post, limit: int) -> Sequence[Lease]:
    want = Claim(
        lease_id=new_lease_id(),
        worker=post.name,
        sources=(Source(queue=QUEUE),),
        limit=limit,
        ttl_ms=round(post.lease * 1_000),
    )
    return (await persist(lambda: session.backend.claim(want))).leases


async def _settle(session: Session, leases: Sequence[Lease]) -> None:
    ends = [Settlement(lease, Done(b"%d" % lease.fence)) for lease in leases]
    await persist(lambda: session.backend.settle(ends))


def _asked_to_end() -> asyncio.Event:
    """Take SIGTERM for a wish to end in order."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    return ended


ROLES: Final[Mapping[str, Callable[[Post], Awaitable[None]]]] = {
    "worker": work,
    "producer": produce,
    "scheduler": schedule,
    "lingerer": linger,
}
