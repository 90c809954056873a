"""Images, which tell how far they are, and webhooks, which are tried again: heard by a listener.

Run it with `python examples/servcraft/images.py [URL]`.
"""

from __future__ import annotations

import asyncio
import os
import sys

from jobyard import Backoff, Event, Job, QueueService

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///servcraft.db"))

service = QueueService(URL, namespace="images")


@service.handler("images", "process", concurrency=2)
async def process(job: Job) -> dict[str, str]:
    operations = job.data["operations"]
    for done, _operation in enumerate(operations, 1):
        await job.update_progress(round(100 * done / len(operations)))
    return {"output": job.data["source"].replace(".png", ".webp")}


@service.handler("webhooks", "deliver")
async def deliver(job: Job) -> dict[str, int]:
    if job.attempt < 3:
        raise ConnectionError(f"{job.data['url']} answered 503")
    return {"status": 200}


def tell(event: Event) -> None:
    said = getattr(event.data, "message", event.data)
    print(event.queue, event.name, *([] if said is None else [said]))


async def main() -> None:
    async with service:
        # From whatever process they come; "*" stands for all events there are.
        for name in ("added", "active", "progress", "completed", "attempt_failed", "stalled"):
            service.on(name, tell)

        image = {"source": "large.png", "operations": ["resize", "compress"]}
        await service.add_job("images", "process", image)
        await service.run_until_idle()

        hook = await service.add_job(
            "webhooks",
            "deliver",
            {"url": "example.com"},
            attempts=5,
            backoff=Backoff.exponential(0.05),  # 2 for 2, 4, 8 and 16 seconds
        )
        async with service.worker():
            await hook.wait(timeout=30)


if __name__ == "__main__":
    asyncio.run(main())
