"""Plans: what a schedule adds, and when."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args

import msgspec
from msgspec.structs import replace

from jobyard.durations import Duration, from_ms, instant_ms, to_ms
from jobyard.errors import InvalidOption, StoreCorrupt
from jobyard.ids import new_job_id
from jobyard.job import Dedup, JobSpec
from jobyard.options import pack, unpack
from jobyard.payloads import Payloads
from jobyard.schedule import ScheduleRecord
from jobyard.timing import Cron, Every

__all__ = ["CatchUp", "Overlap", "Plan", "Schedule", "read_plan"]

Overlap = Literal["allow", "skip"]
CatchUp = Literal["one", "all", "none"]

TICKS: Final = uuid.UUID("6f3c2a52-9d0e-5c0b-8f43-2b1d5f0a7c11")
"""The name space (RFC 9562) of the ids of ticks' jobs."""

LATE_MS: Final = 60_000
"""How late a tick may be fired that is not to be caught up."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a stored schedule says; only the core reads it.

    `job` is the job of each tick, without its id. No tick comes before `start_at` or after
    `end_at`, and there are at most `limit`. With `keep_ms` it is forgotten that long after
    `seen_at`, the latest instant at which a program added it.
    """

    timing: Every | Cron
    job: JobSpec
    start_at: int | None = None
    end_at: int | None = None
    limit: int | None = None
    immediately: bool = False
    overlap: Overlap = "allow"
    catch_up: CatchUp = "one"
    keep_ms: int | None = None
    seen_at: int = 0

    def is_stale(self, now: int) -> bool:
        """Whether no program has added it for longer than it is kept."""
        return self.keep_ms is not None and self.seen_at + self.keep_ms < now

    def begin(self, now: int) -> int | None:
        """Tell the first tick of a schedule that is made now."""
        return now if self.immediately else self.resume(now)

    def resume(self, now: int) -> int | None:
        """Tell the first tick from now on."""
        return self._after(max(now, self.start_at or 0) - 1)

    def follow(self, tick: int, *, now: int, fired: int) -> int | None:
        """Tell the tick after one that is fired now as number `fired`; `None` if it is the last."""
        if self.limit is not None and fired >= self.limit:
            return None
        following = self._after(tick)
        if self.catch_up == "all" or following is None or following > now:
            return following
        return self._after(now)

    def is_missed(self, tick: int, now: int) -> bool:
        """Whether a tick that has come is to be left out, being late."""
        if self.catch_up != "none":
            return False
        following = self._after(tick)
        return now - tick > LATE_MS or (following is not None and following <= now)

    def _after(self, instant: int) -> int | None:
        tick = self.timing.after(instant)
        return None if tick is None or tick > (self.end_at or tick) else tick

    def job_of(self, key: str, tick: int) -> JobSpec:
        """Make the job of a tick, the same one whoever makes it."""
        return self._job(key, tick, job_id=uuid.uuid5(TICKS, f"{key}@{tick}").hex)

    def job_by_hand(self, key: str, now: int) -> JobSpec:
        """Make a job outside the plan's ticks."""
        return self._job(key, now, job_id=new_job_id())

    def _job(self, key: str, tick: int, *, job_id: str) -> JobSpec:
        options = unpack(self.job.options)
        told = {"jobyard-schedule": key, "jobyard-tick": _iso(tick)}
        packed = pack(replace(options, headers={**options.headers, **told}))
        job = replace(self.job, id=job_id, options=packed)
        if self.overlap == "skip":
            # The key is held until the job has ended, in the same step as the tick is fired in.
            job = replace(job, dedup=Dedup(key=f"schedule:{key}"))
        return job

    def encode(self) -> bytes:
        """Write the plan as a schedule's definition: the same plan, the same bytes."""
        return msgspec.msgpack.encode(self)


def read_plan(record: ScheduleRecord) -> Plan:
    """Read the plan of a stored schedule; raise `StoreCorrupt` if it cannot be read."""
    try:
        return msgspec.msgpack.decode(record.definition, type=Plan)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        msg = f"the stored schedule {record.key!r} cannot be read: {error}"
        raise StoreCorrupt(msg) from None


def make_plan(  # noqa: PLR0913 - one for each thing that can be said of a schedule
    job: JobSpec,
    *,
    every: Duration | None,
    cron: str | None,
    timezone: str,
    start: datetime | None,
    end: datetime | None,
    limit: int | None,
    immediately: bool,
    overlap: Overlap,
    catch_up: CatchUp,
    keep_for: Duration | None,
) -> Plan:
    """Read what an app says of a schedule; raise `InvalidOption` for what cannot be."""
    start_at = None if start is None else instant_ms(start, "start")
    end_at = None if end is None else instant_ms(end, "end")
    _check_bounds(start_at, end_at, limit, immediately=immediately)
    if overlap not in get_args(Overlap):
        msg = f'overlap is "allow" or "skip", not {overlap!r}'
        raise InvalidOption(msg)
    if catch_up not in get_args(CatchUp):
        msg = f'catch_up is "one", "all" or "none", not {catch_up!r}'
        raise InvalidOption(msg)
    if overlap == "skip" and job.dedup is not None:
        msg = 'overlap="skip" keeps a dedup key of its own: give one of the two'
        raise InvalidOption(msg)
    return Plan(
        timing=_timing(every, cron, timezone, start_at),
        job=job,
        start_at=start_at,
        end_at=end_at,
        limit=limit,
        immediately=immediately,
        overlap=overlap,
        catch_up=catch_up,
        keep_ms=None if keep_for is None else to_ms(keep_for, "keep_for", least=1),
    )


def _timing(
    every: Duration | None, cron: str | None, timezone: str, start_at: int | None
) -> Every | Cron:
    if (every is None) == (cron is None):
        msg = "a schedule has every=… (seconds) or cron='…', one of the two"
        raise InvalidOption(msg)
    if cron is not None:
        return Cron.of(cron, timezone)
    if timezone != "UTC":
        msg = "a timezone belongs to cron: every goes by elapsed time, which is the same everywhere"
        raise InvalidOption(msg)
    assert every is not None
    return Every.of(every, anchor_ms=start_at or 0)


def _check_bounds(
    start_at: int | None, end_at: int | None, limit: int | None, *, immediately: bool
) -> None:
    if start_at is not None and end_at is not None and end_at < start_at:
        msg = "a schedule's end is not before its start"
        raise InvalidOption(msg)
    if limit is not None and (isinstance(limit, bool) or limit < 1):
        msg = f"the limit of a schedule is 1 or more ticks, not {limit!r}"
        raise InvalidOption(msg)
    if immediately and start_at is not None:
        msg = "a schedule begins immediately, or at its start: give one of the two"
        raise InvalidOption(msg)


def _iso(instant: int) -> str:
    at = from_ms(instant)
    assert at is not None
    return at.isoformat()


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule as it was when it was looked up.

    `every` is in seconds; it or `cron` is given. `next_at` is `None` when no tick comes any more;
    while `paused` none is fired. `fired` counts the ticks fired, those left out for `overlap` too;
    `last_at` is the instant of the latest.
    """

    key: str
    queue: str
    name: str
    data: Any
    every: float | None
    cron: str | None
    timezone: str
    start: datetime | None
    end: datetime | None
    limit: int | None
    overlap: Overlap
    catch_up: CatchUp
    paused: bool
    next_at: datetime | None
    last_at: datetime | None
    fired: int

    @classmethod
    def of(cls, record: ScheduleRecord, payloads: Payloads) -> Schedule:
        """Read a stored schedule; raise `StoreCorrupt` if it cannot be read."""
        plan = read_plan(record)
        timing = plan.timing
        return cls(
            key=record.key,
            queue=plan.job.queue,
            name=plan.job.name,
            data=payloads.decode(plan.job),
            every=timing.interval_ms / 1000 if isinstance(timing, Every) else None,
            cron=timing.expression if isinstance(timing, Cron) else None,
            timezone=timing.zone if isinstance(timing, Cron) else "UTC",
            start=from_ms(plan.start_at),
            end=from_ms(plan.end_at),
            limit=plan.limit,
            overlap=plan.overlap,
            catch_up=plan.catch_up,
            paused=record.paused,
            next_at=from_ms(record.next_at),
            last_at=from_ms(record.last_at),
            fired=record.fired,
        )
