"""Limits and holds of queues and of the names in them, which all workers keep together."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from jobyard.durations import Duration, from_ms, to_ms
from jobyard.edits import Control
from jobyard.errors import InvalidOption
from jobyard.flowcontrol import RateLimit, check_count
from jobyard.ids import check_name
from jobyard.limit import HoldBack, Limit, LimitInfo
from jobyard.service.acting import Acting

__all__ = ["Limiting", "QueueLimit"]


class QueueLimit(msgspec.Struct, frozen=True, kw_only=True):
    """What limits a queue, or the jobs of a `name` in it when `is_of_name`.

    `held_until` is the end of a hold that lasts.
    """

    name: str | None = None
    is_of_name: bool = False
    concurrency: int | None = None
    rate: RateLimit | None = None
    held_until: datetime | None = None


class Limiting(Acting):
    """The part of a service that limits what workers may start."""

    async def limit_queue(
        self, queue: str, *, concurrency: int | None = None, rate: RateLimit | None = None
    ) -> None:
        """Let at most `concurrency` jobs of a queue run at once over all workers, and `rate` start.

        This replaces the limit that the queue had: without either it has none any more. Running
        jobs go on under a smaller one.
        """
        await self._control(queue, _limit(None, concurrency, rate))

    async def limit_name(
        self,
        queue: str,
        name: str | None,
        *,
        concurrency: int | None = None,
        rate: RateLimit | None = None,
    ) -> None:
        """Limit the jobs of a name, `None` for the unnamed ones, as `limit_queue` does a queue."""
        await self._control(queue, _limit(_named(name), concurrency, rate))

    async def hold_queue(self, queue: str, seconds: Duration) -> None:
        """Let no worker start a job of a queue for some seconds; 0 ends a hold."""
        await self._control(queue, HoldBack(ms=to_ms(seconds, "a hold")))

    async def hold_name(self, queue: str, name: str | None, seconds: Duration) -> None:
        """Let no worker start a job of a name for some seconds; 0 ends a hold."""
        await self._control(queue, HoldBack(name=_named(name), ms=to_ms(seconds, "a hold")))

    async def list_limits(self, queue: str) -> list[QueueLimit]:
        """Show what limits a queue: first as a whole, then its names."""
        await self._usable()
        infos = await self.backend.queues([queue])
        limits = infos[0].limits if infos else ()
        if not limits:
            return []
        now = (await self.backend.ping()).now
        shown = (_shown(each, now) for each in limits)
        return [each for each in shown if each.concurrency or each.rate or each.held_until]

    async def _control(self, queue: str, control: Control) -> None:
        check_name(queue, "queue name")
        await self._usable()
        await self.backend.control(queue, control)


def _named(name: Any) -> str:
    return "" if name is None else check_name(name, "job name")


def _limit(name: str | None, concurrency: int | None, rate: object) -> Limit:
    if concurrency is not None:
        check_count("the concurrency of a limit", concurrency)
    if rate is None:
        return Limit(name=name, concurrency=concurrency)
    if not isinstance(rate, RateLimit) or rate.key is not None:
        msg = f"the rate of a limit is a RateLimit without a key, not {rate!r}"
        raise InvalidOption(msg)
    return Limit(name=name, concurrency=concurrency, rate=rate.as_rate())


def _shown(info: LimitInfo, now: int) -> QueueLimit:
    held = info.held_until if info.held_until is not None and info.held_until > now else None
    return QueueLimit(
        name=info.name or None,
        is_of_name=info.name is not None,
        concurrency=info.concurrency,
        rate=None if info.rate is None else RateLimit(info.rate.count, info.rate.per_ms / 1000),
        held_until=from_ms(held),
    )
