"""What is told of jobs, runs, schedules and what is swept out.

Run it with `python examples/bearmq/events.py [URL]`.
"""

from __future__ import annotations

import asyncio
import os
import sys

from jobyard import Event, QueueService

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///bears.db"))

service = QueueService(URL)


@service.job("events", "ECHO")
async def echo(word: str) -> str:
    if word == "hush":
        raise ValueError("silence")
    return word


def tell(event: Event) -> None:
    what = event.data if event.name in {"completed", "group_deleted"} else ""
    timed = "timed" if event.duration is not None else ""
    print(" ".join(filter(None, (event.name, event.job_name, what, timed))))


async def main() -> None:
    async with service:
        await service.obliterate_queue("events")  # from an earlier run
        for name in ("added", "active", "attempt_failed", "completed", "failed", "scheduled"):
            service.on(name, tell)
        service.on("group_deleted", tell)
        service.on("removed", tell)

        await echo.enqueue("hello", group="talk")
        await service.run_until_idle()
        await echo.enqueue("hush", attempts=2, backoff=0)
        await service.run_until_idle()
        await echo.schedule("tick", "tock", every=3600, immediately=True)
        await service.run_until_idle()
        await service.remove_schedule("tick")

        # By hand. What a worker sweeps out when its retention is over is told as "deleted".
        await asyncio.sleep(0.01)  # a job that ended in this millisecond is not older than 0 s
        await service.clean_jobs(["completed", "failed"], older_than=0, queue="events")


if __name__ == "__main__":
    asyncio.run(main())
