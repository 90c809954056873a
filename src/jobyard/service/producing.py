"""Adding jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar, Unpack

from jobyard.contract import MAX_UNIT
from jobyard.errors import (
    InvalidJob,
    InvalidOption,
    JobNotFound,
    PayloadError,
    PayloadTooLarge,
)
from jobyard.flowcontrol import read_group
from jobyard.handle import Job
from jobyard.hooks import Draft, surround
from jobyard.ids import check_name, new_job_id
from jobyard.job import Added, AddOutcome, Group, JobSpec, JobState, Unit
from jobyard.options import JobOptions, OptionArgs, read_options
from jobyard.service.hooking import Hooking

__all__ = ["NewJob", "Producing"]

T = TypeVar("T")
R = TypeVar("R")

NO_OPTIONS: Final[Mapping[str, Any]] = MappingProxyType({})

UNIT_BYTES: Final = 64 * 1024 * 1024
"""What one bulk may weigh: a store takes it in one message."""


class Grouping(NamedTuple):
    """How the jobs of a name are put into groups."""

    key: Callable[[Any], str | int | None]
    limit: int


NewJob = tuple[str | None, object] | tuple[str | None, object, Mapping[str, Any]]
"""A job of a bulk: its name, its payload and, if it has some, its own options."""


class Producing(Hooking):
    """The part of a service that adds jobs."""

    _plan: dict[str, Any]
    _defaults: JobOptions
    _groupings: dict[tuple[str, str], Grouping]

    async def add_job(
        self,
        queue: str,
        name: str | None,
        data: object = None,
        *,
        within: object | None = None,
        **options: Unpack[OptionArgs],
    ) -> Job:
        """Add a job; when this returns, it is stored as durably as the store promises.

        `name` chooses the handler; `None` leaves it to the queue's default handler. `data` is
        anything that JSON gives back equal. The options are those of `JobOptions`. A `job_id` that
        exists answers the job there is, with `is_duplicate` true, and so does a `dedup` key that
        another job holds.

        With `within`, a connection or session of the app's own, the job is part of its transaction:
        it is there when that commits. What blocks there blocks the event loop for that moment.

        Raises `InvalidName`, `InvalidOption`, `PayloadError` or `TypeError` before anything is
        sent, `JobNotFound` for a job of `depends_on` that there is not, `BackendError` when it is
        not known to be stored: repeat it with the same `job_id`, and `Unsupported` for `within`
        what the store cannot join.
        """
        if self.hooks.around_add:
            (job,) = await self._through([Draft(queue, name, data, dict(options))], within)
            return job
        spec = self._spec(queue, name, data, self._fields(options))
        if within is not None:
            (job,) = await self._add_unit((spec,), within)
            return job
        await self._usable()
        (added,) = await self._adds.add((spec,))
        return self._added(spec, added)

    async def add_jobs(
        self,
        queue: str,
        jobs: Iterable[NewJob],
        *,
        within: object | None = None,
        **options: Unpack[OptionArgs],
    ) -> list[Job]:
        """Add many jobs in order, all or none; up to 10,000 in one call.

        Each is `(name, data)` or `(name, data, options)`; `options` hold for all, an own option of
        a job wins. `within` is as for `add_job`. Raises as that does, naming the job by its place.
        """
        if options.get("job_id") is not None:
            msg = "a job_id cannot be shared: give each job its own"
            raise InvalidOption(msg)
        shared = self._fields(options)
        if self.hooks.around_add:
            drafts = _each(jobs, lambda job: _draft(queue, job, options))
            return await self._through(drafts, within)
        specs = _each(jobs, lambda job: self._item(queue, job, shared, options))
        return await self._add_unit(tuple(specs), within)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """Begin a transaction in the store, for `within` and for statements of the app's own.

        It commits when the block ends, and is rolled back when that raises. Its value is the
        driver's connection: psycopg's, or one of `sqlite3`, which blocks. Raises `Unsupported` for
        a store that has none.
        """
        await self._usable()  # what is begun has to be done before: the store may have one writer
        async with self.backend.transaction() as connection:
            yield connection

    async def _through(self, drafts: list[Draft], within: object | None = None) -> list[Job]:
        """Add jobs through the hooks around adds."""

        async def store(asked: list[Draft]) -> list[Job]:
            return await self._add_unit(tuple(_each(asked, self._drafted)), within)

        added: list[Job] = await surround(self.hooks.around_add, store)(drafts)
        return added

    def _drafted(self, draft: Draft) -> JobSpec:
        return self._spec(draft.queue, draft.name, draft.data, self._fields(draft.options))

    async def _add_unit(self, specs: Unit, within: object | None = None) -> list[Job]:
        """Add jobs all or none."""
        if len(specs) > MAX_UNIT:
            msg = f"one call adds at most {MAX_UNIT:,} jobs, not {len(specs):,}: split them"
            raise InvalidJob(msg)
        weight = sum(len(spec.payload) for spec in specs)
        if weight > UNIT_BYTES:
            msg = f"the payloads of one call take at most {UNIT_BYTES:,} bytes, not {weight:,}"
            raise PayloadTooLarge(msg)
        if within is None:
            await self._usable()
        else:
            self._check_open()  # and no more: a write beside a transaction may wait for its end
        if not specs:
            return []
        (answers,) = await self.backend.add((specs,), within=within)
        return [self._added(spec, added) for spec, added in zip(specs, answers, strict=True)]

    def _item(
        self, queue: str, job: object, shared: dict[str, Any], options: Mapping[str, Any]
    ) -> JobSpec:
        name, data, own = _parts_of(job)
        fields = self._fields({**options, **own}) if own else shared
        return self._spec(queue, name, data, fields)

    def _fields(self, options: Mapping[str, Any]) -> dict[str, Any]:
        if not options:
            return self._plan
        return read_options(options).over(self._defaults).as_fields()

    def _spec(self, queue: str, name: str | None, data: object, fields: dict[str, Any]) -> JobSpec:
        check_name(queue, "queue name")
        named = "" if name is None else check_name(name, "job name")
        payload = self.payloads.encode(queue, named, data, fields.get("options", b""))
        if self._groupings and "group" not in fields:
            fields = {**fields, "group": self._group_of(queue, named, data)}
        if "id" in fields:
            return JobSpec(queue=queue, name=named, payload=payload, **fields)
        return JobSpec(id=new_job_id(), queue=queue, name=named, payload=payload, **fields)

    def group_by(
        self,
        queue: str,
        name: str | None,
        key: Callable[[Any], str | int | None],
        *,
        limit: int = 1,
    ) -> None:
        """Put each job of a name that this service adds into the group that `key` reads off it.

        `key` is called with the payload; its `None` means no group. At most `limit` jobs of a group
        run at a time, in order. An add with a `group` of its own goes into that one. The rule is of
        this process: give it wherever jobs are added.
        """
        check_name(queue, "queue name")
        named = "" if name is None else check_name(name, "job name")
        read_group(Group(key="any", limit=limit))
        _check_callable(key)
        self._groupings[queue, named] = Grouping(key, limit)

    def _group_of(self, queue: str, name: str, data: object) -> Group | None:
        grouping = self._groupings.get((queue, name))
        if grouping is None:
            return None
        key = grouping.key(data)
        if key is None:
            return None
        key = str(key) if isinstance(key, int) else key
        return read_group(Group(key=key, limit=grouping.limit))["group"]  # type: ignore[no-any-return]

    def _added(self, spec: JobSpec, added: Added) -> Job:
        if added.outcome is AddOutcome.NO_PARENT:
            parents = ", ".join(each.parent for each in spec.depends_on) or "jobs of its bulk"
            msg = f"nothing was added: the job depends on {parents}, and not all of them are there"
            raise JobNotFound(msg)
        # A dedup key may outlive the record of its job, which then is as good as completed.
        return Job(spec, self, state=added.state or JobState.COMPLETED, added=added)


def _check_callable(key: object) -> None:
    if not callable(key):
        msg = f"the key of group_by is a function of the payload, not {key!r}"
        raise InvalidOption(msg)


def _each(items: Iterable[T], read: Callable[[T], R]) -> list[R]:
    """Read each job of a call; the error of one that is refused names its place."""
    found: list[R] = []
    given = list(items)  # whose own errors are not about a job
    try:
        for item in given:
            found.append(read(item))  # noqa: PERF401 - its length is the place
    except (InvalidJob, TypeError) as error:
        kind = type(error) if isinstance(error, (InvalidJob, PayloadError)) else TypeError
        msg = f"jobs[{len(found)}]: {error}"
        raise kind(msg) from None
    return found


def _draft(queue: str, job: object, options: Mapping[str, Any]) -> Draft:
    name, data, own = _parts_of(job)
    return Draft(queue, name, data, {**options, **own})


def _parts_of(job: object) -> tuple[str | None, object, Mapping[str, Any]]:
    """Read a job of a bulk: its name, its payload and its own options."""
    match job:
        case (str() | None as name, data):
            return name, data, NO_OPTIONS
        case (str() | None as name, data, Mapping() as own):
            return name, data, own
        case _:
            msg = "a job is (name, data) or (name, data, options)"
            raise InvalidJob(msg)
