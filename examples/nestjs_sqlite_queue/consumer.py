"""A queue, a class that adds jobs to it, one handler for them all, and the events of their lives.

Run it with `python examples/nestjs_sqlite_queue/consumer.py [URL]`.
"""

from __future__ import annotations

import asyncio
import os
import sys

from jobyard import Event, Job, Queue, QueueService

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///printing.db"))

service = QueueService(URL)
told = asyncio.Event()  # events are told beside the program, a moment after they happen
printing = service.queue("printing")  # made in the store by the first call that needs it


class Office:
    """Somebody who has a queue injected."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    async def print_out(self, text: str) -> Job:
        return await self.queue.add(None, {"text": text}, timeout=30)


@printing.handler()  # without a name: for the jobs that have none
async def print_text(job: Job) -> dict[str, int]:
    text = job.data["text"]
    if text == "crumpled":
        raise RuntimeError("paper jam")
    if text == "endless":
        await asyncio.sleep(600)
    return {"characters": len(text)}


def tell(event: Event) -> None:
    match event.name:
        case "active":
            print(f"attempt {event.attempt} begins")
        case "completed":
            print(f"done: {event.data}")
        case "attempt_failed":
            print(f"error: {event.data.message}")
        case "failed":
            print("failed: no attempt is left")
        case "stalled":
            print("stalled: the time is up")
            told.set()
        case _:
            print("finished, one way or the other")
            told.set()


async def work() -> None:
    await service.run_until_idle()
    await told.wait()
    told.clear()


async def main() -> None:
    async with service:
        for name in ("active", "completed", "attempt_failed", "failed", "stalled", "finished"):
            service.on(name, tell)

        job = await Office(printing).print_out("a letter")
        await work()
        print("resultData is", (await job.refresh()).result)

        # One more run than the first: the job fails when both have.
        await printing.add(None, {"text": "crumpled"}, retries=1, backoff=0)
        await work()

        # A run that takes too long fails like any other, unless it is to be stopped for good.
        late = await printing.add(None, {"text": "endless"}, timeout=0.1, on_timeout="stall")
        await work()
        print("the endless one is", (await late.refresh()).state)


if __name__ == "__main__":
    asyncio.run(main())
