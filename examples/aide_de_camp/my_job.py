"""A handler that is a class, a payload that is a list of numbers, at most ten jobs at once.

Run it with `python examples/aide_de_camp/my_job.py [URL]`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta

from jobyard import Job, JobNotFound, QueueService

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///camp.db"))


class Sums:
    """What a job needs to do its work is an attribute here: a pool, a client."""

    def __init__(self, start: int) -> None:
        self.start = start

    async def handle(self, job: Job) -> int:
        numbers: list[int] = job.data
        if job.cancel_token.is_set():  # set when the worker has to stop
            return 0
        return sum(numbers, self.start)


async def main() -> None:
    service = QueueService(URL)
    service.register_worker("camp", "my_job", Sums(start=100).handle)
    async with service:
        job = await service.add_job("camp", "my_job", [1, 2, 3])
        await service.run_until_idle(concurrency=10)  # `run` goes on until a signal comes
        print("sum:", await job.wait())

        # For later, and then not at all: the payload comes back, and no record stays.
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        later = await service.add_job("camp", "my_job", [4, 5], run_at=tomorrow)
        print("taken back:", await service.unschedule_job(later.id, "my_job"))
        try:
            await later.refresh()
        except JobNotFound:
            print("gone")

        cancelled = await service.add_job("camp", "my_job", [6], delay=60)
        print("cancelled:", await service.cancel_job(cancelled.id))


if __name__ == "__main__":
    asyncio.run(main())
