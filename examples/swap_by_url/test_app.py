"""Tests of the shop: `JOBYARD_URL=… pytest test_app.py` runs them on any store, as they are."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("JOBYARD_URL", "memory://shop")

from app import sell, service, work_on

from jobyard import JobState, Reason


async def sell_and_look() -> None:
    async with service:
        orders = await sell([30, 250, 0])
        assert [order.state for order in orders] == [JobState.WAITING] * 3
        first, *_ = await service.queue("orders").peek(limit=3)
        assert first.id == orders[1].id, "the large order goes first"

        await work_on(orders)

        one, two, three = [await order.refresh() for order in orders]
        assert (one.state, one.result, one.failures) == ("completed", {"charged": 30}, 1)
        assert (two.state, two.result, two.failures) == ("completed", {"charged": 250}, 1)
        assert (three.state, three.reason, three.failures) == ("failed", Reason.REFUSED, 1)
        assert three.error is not None
        assert "nothing to pay" in three.error.message
        assert await one.logs() == ["charged 30 in attempt 2"]

        emails = await service.list_jobs("emails")
        assert {mail.result for mail in emails} == {"receipt for order 1", "receipt for order 2"}
        assert {mail.progress for mail in emails} == {100}
        stats = await service.get_stats("orders")
        assert (stats.completed, stats.failed, stats.total) == (2, 1, 3)

        await service.obliterate_queue("orders")
        await service.obliterate_queue("emails")
        assert await service.list_queues() == []


def test_the_shop_sells() -> None:
    asyncio.run(sell_and_look())
