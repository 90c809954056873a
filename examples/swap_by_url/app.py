"""A shop that keeps its jobs in whatever store JOBYARD_URL names.

    python app.py                                              # a SQLite file
    JOBYARD_URL=redis://localhost:6379/0 python app.py         # Redis or Valkey
    JOBYARD_URL=postgresql://me@localhost/shop python app.py   # PostgreSQL

Nothing else changes: no import, no option, no handler.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from jobyard import Backoff, Discard, Job, JobFailed, JobOptions, QueueService

service = QueueService(
    os.environ.get("JOBYARD_URL", "sqlite:///shop.db"),
    defaults=JobOptions(attempts=3, backoff=Backoff.fixed(0.05)),
)


@service.handler("orders", "charge")
async def charge(job: Job) -> dict[str, int]:
    """Charge a card; the bank is away at the first attempt."""
    order: int = job.data["order"]
    if job.data["amount"] <= 0:
        raise Discard(f"order {order} has nothing to pay")
    if job.attempt == 1:
        raise ConnectionError("the bank does not answer")
    await job.log(f"charged {job.data['amount']} in attempt {job.attempt}")
    await service.add_job("emails", "receipt", {"order": order}, delay=0.1)
    return {"charged": job.data["amount"]}


@service.handler("emails", "receipt")
async def receipt(job: Job) -> str:
    """Send a receipt."""
    await job.update_progress(100)
    return f"receipt for order {job.data['order']}"


async def sell(amounts: list[int]) -> list[Job]:
    """Take orders, large ones first."""
    return [
        await service.add_job(
            "orders",
            "charge",
            {"order": number, "amount": amount},
            priority="high" if amount >= 100 else "normal",
        )
        for number, amount in enumerate(amounts, 1)
    ]


async def work_on(orders: list[Job]) -> None:
    """Work until the orders have ended, and the mails that they led to."""
    async with service.worker():
        for order in orders:
            await ended(order)
        for mail in await service.list_jobs("emails"):
            await ended(mail)


async def ended(job: Job) -> None:
    """Wait for the end of a job, whichever it is."""
    with suppress(JobFailed):
        await job.wait(timeout=30)


async def main() -> None:
    """Sell three things, and show what became of them."""
    async with service:
        orders = await sell([30, 250, 0])
        await work_on(orders)
        for order in [await job.refresh() for job in orders]:
            print(f"{order.state:>9}", order.result or order.error)
        for mail in await service.list_jobs("emails"):
            print(f"{mail.state:>9}", mail.result)


if __name__ == "__main__":
    asyncio.run(main())
