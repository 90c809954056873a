"""Channels, which workers choose from, and groups, of which one job runs at a time.

Run it with `python examples/bearmq/partitions.py [URL]`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass

from jobyard import Job, QueueService

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///bears.db"))

service = QueueService(URL)
running: set[str | None] = set()
order: list[int] = []


@service.job("partitions", "HIGH", channel="high")
async def high() -> None:
    print("high, in its channel")


@service.job("partitions", "LOW")
async def low(text: str) -> None:
    print(text)


@dataclass
class Change:
    account: str
    amount: int


@service.job("partitions", "CHANGE", group_key=lambda change: change.account)
async def change(payload: Change, job: Job) -> None:
    assert job.group not in running, "two jobs of a group at once"
    running.add(job.group)
    await asyncio.sleep(0.01)
    running.discard(job.group)
    if job.group == "ada":
        order.append(payload.amount)


async def main() -> None:
    async with service:
        patient = await low.enqueue("low, by a worker of any channel")
        hurried = [await high.enqueue(), await low.enqueue("low, lifted once", channel="high")]

        async with service.worker(channels=["high"], concurrency=1):
            for job in hurried:
                await job.wait(timeout=30)
        print("the other one is", (await patient.refresh()).state)
        await service.run_until_idle()

        changes = [Change(account, n) for n in range(4) for account in ("ada", "bob")]
        jobs = await change.enqueue_many(changes)
        jobs.append(await change.enqueue(Change("eve", 9), group="ada"))  # instead of its own
        async with service.worker(), service.worker():
            for job in jobs:
                await job.wait(timeout=30)
        print("of one group, in order:", order)


if __name__ == "__main__":
    asyncio.run(main())
