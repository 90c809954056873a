"""Channels, attempts, rates, lives, dependencies: what can be said of a job.

Run it with `python examples/cuckmq/limits.py [URL]`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta
from itertools import pairwise

from jobyard import Job, JobFailed, QueueService, RateLimit

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///limits.db"))

service = QueueService(URL)


@service.job("limits", channel="urgent")
async def fetch(page: str) -> str:
    return f"<{page}>"


@service.job("limits", attempts=3, backoff=0)
async def flaky(kind: str, job: Job) -> str:
    if job.attempt < 3:
        raise ConnectionError(f"a {kind} error")
    return f"{kind}, in attempt {job.attempt}"


@service.job("limits", rate=RateLimit(1, per=0.2))  # over all workers, wherever they are
async def paced() -> None:
    """Do nothing, but not too often."""


@service.job("limits", ttl=0.2)  # its whole life, whatever it waits for
async def short_lived() -> None:
    print("never printed")


@service.job("limits")
async def assemble(title: str, job: Job) -> str:
    return title + " ".join(sorted((await job.parent_results()).values()))


async def main() -> None:
    async with service:
        parts = [await fetch.enqueue("a"), await fetch.enqueue("b")]
        whole = await assemble.enqueue("both: ", depends_on=parts)
        print("it waits for its parts:", whole.state)
        flaked = await flaky.enqueue("temporary")
        lost = await short_lived.enqueue(delay=600)
        rated = [await paced.enqueue() for _ in range(3)]

        # One worker for the urgent jobs alone, and one for any.
        urgent = service.worker(channels=["urgent"], concurrency=1)
        async with urgent, service.worker(concurrency=4, lease=60, poll_interval=0.1):
            print(await whole.wait(timeout=30))
            print(await flaked.wait(timeout=30))
            try:
                await lost.wait(timeout=30)
            except JobFailed:
                print("the short-lived one ended:", (await lost.refresh()).reason)
            for job in rated:
                await job.wait(timeout=30)
        starts = [job.started_at for job in [await job.refresh() for job in rated]]
        gaps = [later - sooner for sooner, later in pairwise(sorted(filter(None, starts)))]
        print("paced:", [gap >= timedelta(seconds=0.2) for gap in gaps])


if __name__ == "__main__":
    asyncio.run(main())
