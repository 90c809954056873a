"""Workers that run until a signal comes, and what they tell.

Run it with `python examples/cuckmq/daemons.py [URL]`.

A worker is all there is: it takes jobs, fires schedules, takes back what a dead one held, and
sweeps out what is old. Any number of them may do so; none is the leader.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress

from jobyard import Event, JobFailed, QueueService, RetentionPolicy

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///daemons.db"))

# Finished jobs are kept for twelve hours; the default is a day, and a week for failed ones.
is_started, is_stopping = asyncio.Event(), asyncio.Event()
service = QueueService(URL, retention=RetentionPolicy(completed=12 * 3600, failed=12 * 3600))


@service.job("daemons")
async def work(kind: str) -> None:
    if kind == "broken":
        raise ValueError("out of order")


@service.job("daemons")
async def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)
    await is_stopping.wait()  # what runs when the signal comes may end


def tell(event: Event) -> None:
    if event.name not in {"heartbeat", "drained", "finished"}:
        print(" ".join(filter(None, (event.name, event.job_name))))
    if event.name == "worker_started":
        is_started.set()
    if event.name == "worker_stopping":
        is_stopping.set()


async def main() -> None:
    async with service:
        service.on("*", tell)
        # Until SIGINT or SIGTERM. From the command line: jobyard worker daemons:service
        working = asyncio.create_task(service.run(concurrency=5, poll_interval=1))
        await is_started.wait()
        for kind in ("fine", "broken"):
            job = await work.enqueue(kind)
            with suppress(JobFailed):
                await job.wait(timeout=30)
        await press_ctrl_c.enqueue()
        await working


if __name__ == "__main__":
    asyncio.run(main())
