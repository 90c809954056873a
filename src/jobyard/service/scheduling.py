"""Schedules: jobs that are added again and again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final, Unpack

from msgspec.structs import replace

from jobyard.durations import Duration
from jobyard.errors import InvalidOption, ScheduleNotFound, StoreBusy
from jobyard.handle import Job
from jobyard.ids import check_job_id
from jobyard.options import OF_ONE_JOB, OptionArgs
from jobyard.plan import CatchUp, Overlap, Plan, Schedule, make_plan, read_plan
from jobyard.schedule import ScheduleRecord
from jobyard.service.producing import Producing
from jobyard.worker import Chore

__all__ = ["Scheduling"]

PAGE: Final = 500
TRIES: Final = 20
"""How often a change is begun anew that a tick or somebody else came before."""

KEEP_SHARE: Final = 0.25
"""The share of its time after which a schedule that is to be kept is added again."""
LEAST_KEEP_SECONDS: Final = 0.05

Changing = Callable[[ScheduleRecord], ScheduleRecord]


class Scheduling(Producing):
    """The part of a service that keeps schedules."""

    _kept: dict[str, Plan]

    async def add_schedule(  # noqa: PLR0913 - one for each thing that can be said of a schedule
        self,
        key: str,
        queue: str,
        name: str | None,
        data: object = None,
        *,
        every: Duration | None = None,
        cron: str | None = None,
        timezone: str = "UTC",
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = None,
        immediately: bool = False,
        overlap: Overlap = "allow",
        catch_up: CatchUp = "one",
        keep_for: Duration | None = None,
        **options: Unpack[OptionArgs],
    ) -> Schedule:
        """Add a job at each tick from now on; a schedule of the same key is replaced.

        `every` ticks by elapsed time, on a grid through `start`, or through the epoch; `cron`
        by the clock of `timezone`, in five fields, or six with the seconds first. No tick comes
        before `start` or after `end`, and at most `limit` do; `immediately` makes the first one
        now. `overlap="skip"` adds no job while the one of an earlier tick has not ended. After a
        time without a worker `catch_up` adds one job for the ticks missed, `"all"` of them, or
        `"none"`. With `keep_for` workers forget the schedule when no program that adds it has run
        for that many seconds, and none of its jobs is unfinished: a program with a worker adds it
        again by itself. The options are those of the jobs.

        To add again what is there changes nothing: any number of processes may do it when they
        start. One whose ticks stay the same keeps its place and its count, and stays paused.

        Raises `InvalidName` or `InvalidOption` before anything is stored.
        """
        check_job_id(key)
        if given := [option for option in OF_ONE_JOB if option in options]:
            msg = f"the jobs of a schedule share no {', '.join(given)}"
            raise InvalidOption(msg)
        plan = make_plan(
            replace(self._spec(queue, name, data, self._fields(options)), id=""),
            every=every,
            cron=cron,
            timezone=timezone,
            start=start,
            end=end,
            limit=limit,
            immediately=immediately,
            overlap=overlap,
            catch_up=catch_up,
            keep_for=keep_for,
        )
        await self._usable()
        if plan.keep_ms is not None:
            self._kept[key] = plan
        return Schedule.of(await self._put_plan(key, plan), self.payloads)

    async def _put_plan(self, key: str, plan: Plan) -> ScheduleRecord:
        now = (await self.backend.ping()).now
        if plan.keep_ms is not None:
            plan = replace(plan, seen_at=now)
        for _ in range(TRIES):
            old = await self._stored(key)
            new = _record(key, plan, old, now)
            if new == old or await self.backend.swap_schedule(key, old=old, new=new):
                return new
        raise _busy(key)

    async def _keep_schedules(self) -> None:
        """Add again what would be forgotten otherwise."""
        for key, plan in list(self._kept.items()):
            await self._put_plan(key, plan)

    def _keeping(self) -> tuple[Chore, ...]:
        """Give the chore of a worker of this service, if there is anything to keep."""
        if not self._kept:
            return ()
        least = min(plan.keep_ms or 0 for plan in self._kept.values())
        seconds = max(least / 1000 * KEEP_SHARE, LEAST_KEEP_SECONDS)
        return (Chore(what="keep schedules", seconds=seconds, do=self._keep_schedules),)

    async def get_schedule(self, key: str) -> Schedule:
        """Get a schedule; raises `ScheduleNotFound`."""
        await self._usable()
        return Schedule.of(await self._must_be_there(key), self.payloads)

    async def list_schedules(self, queue: str | None = None) -> list[Schedule]:
        """List the schedules, those of one queue if it is given, by key."""
        await self._usable()
        found: list[Schedule] = []
        after: str | None = None
        while True:
            page = await self.backend.schedules(after=after, limit=PAGE)
            found += [Schedule.of(record, self.payloads) for record in page.items]
            after = page.next
            if after is None:
                return [each for each in found if queue is None or each.queue == queue]

    async def pause_schedule(self, key: str) -> Schedule:
        """Let no tick of a schedule be fired until it is resumed; raises `ScheduleNotFound`."""
        return await self._change_schedule(key, lambda record: replace(record, paused=True))

    async def resume_schedule(self, key: str) -> Schedule:
        """End a pause: the next tick is the first from now on; raises `ScheduleNotFound`."""
        await self._usable()
        now = (await self.backend.ping()).now

        def resumed(record: ScheduleRecord) -> ScheduleRecord:
            if not record.paused or record.next_at is None:
                return replace(record, paused=False)
            next_at = read_plan(record).resume(max(now, record.next_at))
            return replace(record, paused=False, next_at=next_at)

        return await self._change_schedule(key, resumed)

    async def trigger_schedule(self, key: str) -> Job:
        """Add a job of a schedule now, beside its ticks; raises `ScheduleNotFound`.

        With `overlap="skip"`, and the job of a tick not ended, the answer is that job.
        """
        await self._usable()
        plan = read_plan(await self._must_be_there(key))
        spec = plan.job_by_hand(key, (await self.backend.ping()).now)
        (added,) = await self._adds.add((spec,))
        return self._added(spec, added)

    async def remove_schedule(self, key: str) -> None:
        """Forget a schedule; the jobs that it has added stay. Raises `ScheduleNotFound`."""
        await self._usable()
        self._kept.pop(key, None)
        if not await self.backend.drop_schedules([key]):
            raise ScheduleNotFound(_missing(key))

    async def _change_schedule(self, key: str, change: Changing) -> Schedule:
        await self._usable()
        for _ in range(TRIES):
            old = await self._must_be_there(key)
            new = change(old)
            if new == old or await self.backend.swap_schedule(key, old=old, new=new):
                return Schedule.of(new, self.payloads)
        raise _busy(key)

    async def _must_be_there(self, key: str) -> ScheduleRecord:
        record = await self._stored(key)
        if record is None:
            raise ScheduleNotFound(_missing(key))
        return record

    async def _stored(self, key: str) -> ScheduleRecord | None:
        check_job_id(key)
        # Pages go by key: this one begins behind every key that is less, since a key has no "~".
        just_before = f"{key[:-1]}{chr(ord(key[-1]) - 1)}~"
        page = await self.backend.schedules(after=just_before, limit=1)
        return next((record for record in page.items if record.key == key), None)


def _record(key: str, plan: Plan, old: ScheduleRecord | None, now: int) -> ScheduleRecord:
    """Make what is stored of a plan, keeping of what was stored what still holds."""
    definition = plan.encode()
    if old is None:
        return ScheduleRecord(key=key, definition=definition, next_at=plan.begin(now))
    if _has_same_ticks(plan, read_plan(old)):
        return replace(old, definition=definition)
    return ScheduleRecord(
        key=key, definition=definition, next_at=plan.begin(now), paused=old.paused
    )


def _has_same_ticks(one: Plan, other: Plan) -> bool:
    return all(
        getattr(one, field) == getattr(other, field)
        for field in ("timing", "start_at", "end_at", "limit", "immediately")
    )


def _missing(key: str) -> str:
    return f"there is no schedule {key}"


def _busy(key: str) -> StoreBusy:
    return StoreBusy(f"the schedule {key} was changed by others each time; nothing was done")
