"""Statements that show jobs and queues, built with SQLAlchemy and compiled once a namespace."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    false,
    func,
    literal,
    null,
    or_,
    select,
)
from sqlalchemy.sql.elements import ColumnElement

from jobyard.job import JobRecord, Reason
from jobyard.limit import LimitInfo, Rate
from jobyard_sql.codes import (
    ACTIVE,
    BLOCKED,
    CANCEL_ASKED,
    COMPLETED,
    DELAYED,
    LIFO,
    STATES,
    WAITING,
    WHOLE_QUEUE,
)
from jobyard_sql.flavor import Flavor
from jobyard_sql.tables import Tables, tables

__all__ = ["Looking", "Standing", "limit_of", "looking", "record_of"]


class Standing(NamedTuple):
    """Everything there is to know of one job, as `Looking` selects it, but for its parents.

    `ready_queue` is the queue number of the job's row in `ready`, negative while it is set aside;
    `line` is set while the job is blocked. What follows `dedup` is of `gated`.
    """

    no: int
    id: str
    queue_id: int
    queue: str
    lane: int
    name: str
    channel: str
    state: int
    payload: bytes
    options: bytes
    prio: int
    attempts: int
    max_crashes: int
    flags: int
    ttl_ms: int | None
    failures: int
    crashes: int
    fence: int
    created_at: int
    due: int
    started_at: int | None
    finished_at: int | None
    expires_at: int | None
    lease_until: int | None
    worker: str | None
    cancel_asked: int
    settled: int
    progress: bytes | None
    result: bytes | None
    error: bytes | None
    reason: str | None
    ready_queue: int | None
    line: int | None
    dedup: str | None
    grp: int | None
    group: str | None
    places: int | None
    placed: int | None
    rate: int | None
    rate_key: str | None
    starts: int | None
    per_ms: int | None
    slot_at: int | None


def record_of(job: Standing, parents: Sequence[str] = ()) -> JobRecord:
    """Show a job, whose parents have these ids, as the contract does."""
    return JobRecord(
        id=job.id,
        no=job.no,
        queue=job.queue,
        name=job.name,
        channel=job.channel,
        state=STATES[job.state],
        payload=job.payload,
        options=job.options,
        priority=-job.prio,
        attempts=job.attempts,
        max_crashes=job.max_crashes,
        failures=job.failures,
        crashes=job.crashes,
        fence=job.fence,
        created_at=job.created_at,
        due_at=job.due,
        started_at=job.started_at,
        finished_at=job.finished_at,
        expires_at=job.expires_at,
        lease_until=job.lease_until,
        worker=job.worker,
        cancel_asked=bool(job.cancel_asked),
        progress=job.progress,
        result=job.result,
        error=job.error,
        reason=None if job.reason is None else Reason(job.reason),
        group=job.group,
        dedup=job.dedup,
        depends_on=tuple(parents),
    )


def limit_of(
    name: str, concurrency: int | None, starts: int | None, per_ms: int | None, held_until: int
) -> LimitInfo:
    """Show a limiter as the contract does."""
    return LimitInfo(
        name=None if name == WHOLE_QUEUE else name,
        concurrency=concurrency,
        rate=None if starts is None or per_ms is None else Rate(starts, per_ms),
        held_until=held_until or None,
    )


class Looking:
    """The statements for one namespace and flavor."""

    def __init__(self, namespace: str, flavor: Flavor, schema: str | None = None) -> None:
        every = tables(namespace, schema)
        base = _job(every)
        no, job_id = every.job.c.no, every.job.c.id
        self.by_id = flavor.compile(base.where(job_id.in_(flavor.members("ids", Text))))
        self.by_no = flavor.compile(
            base.where(no.in_(flavor.members("nos", BigInteger))).order_by(no)
        )
        self.after = flavor.compile(
            _page(base, every, flavor)
            .where(no > bindparam("after"))
            .order_by(no)
            .limit(bindparam("limit"))
        )
        self.before = flavor.compile(
            _page(base, every, flavor)
            .where(no < bindparam("after"))
            .order_by(no.desc())
            .limit(bindparam("limit"))
        )
        self.lines = flavor.compile(
            select(every.log.c.n, every.log.c.line)
            .join(every.job, every.job.c.no == every.log.c.no)
            .where(job_id == bindparam("id"))
            .order_by(every.log.c.n)
            .limit(bindparam("limit"))
            .offset(bindparam("after"))
        )
        dep = every.dep
        self.parents = flavor.compile(
            select(dep.c.child, dep.c.parent)
            .where(dep.c.child.in_(flavor.members("nos", BigInteger)))
            .order_by(dep.c.child, dep.c.at)
        )
        self._queues(every, flavor)

    def _queues(self, every: Tables, flavor: Flavor) -> None:
        queue, gauge, ready = every.queue, every.gauge, every.ready
        counts = [cast(func.sum(gauge.c[str(state)]), BigInteger) for state in STATES]
        self.queues = flavor.compile(
            select(queue.c.id, queue.c.name, queue.c.paused, *counts)
            .join(gauge, gauge.c.queue == queue.c.id)
            .group_by(queue.c.id, queue.c.name, queue.c.paused)
            .order_by(queue.c.name)
        )
        limiter = every.limiter
        self.limits = flavor.compile(
            select(
                limiter.c.queue,
                limiter.c.name,
                limiter.c.concurrency,
                limiter.c.starts,
                limiter.c.per_ms,
                limiter.c.held_until,
            ).order_by(limiter.c.queue, limiter.c.name)
        )
        self.queue_ids = flavor.compile(select(queue.c.id, queue.c.name).order_by(queue.c.name))
        of_queue = ready.c.queue == bindparam("queue")
        self.next_prio = flavor.compile(
            select(ready.c.prio)
            .where(of_queue, ready.c.prio > bindparam("prio"))
            .order_by(ready.c.prio)
            .limit(1)
        )
        of_prio = and_(of_queue, ready.c.prio == bindparam("prio"))
        self.first_due = flavor.compile(
            select(ready.c.due)
            .where(of_prio, ready.c.due >= 0)
            .order_by(ready.c.due, ready.c.no)
            .limit(1)
        )
        self.first_lifo_due = flavor.compile(
            select(ready.c.due)
            .where(of_prio, ready.c.due < 0)
            .order_by(ready.c.due.desc(), ready.c.no.desc())
            .limit(1)
        )


def _page(base: Select[Any], every: Tables, flavor: Flavor) -> Select[Any]:
    """Filter by what is given; a parameter that is null filters nothing."""
    names: BindParameter[Any] = bindparam("names", type_=flavor.listed(Text))
    states: BindParameter[Any] = bindparam("states", type_=flavor.listed(BigInteger))
    queue: BindParameter[str] = bindparam("queue", type_=Text())
    since: BindParameter[int] = bindparam("since", type_=BigInteger())
    until: BindParameter[int] = bindparam("until", type_=BigInteger())
    return base.where(
        or_(queue.is_(null()), every.queue.c.name == queue),
        or_(states.is_(null()), _state(every).in_(flavor.members("states", BigInteger))),
        or_(names.is_(null()), every.lane.c.name.in_(flavor.members("names", Text))),
        or_(since.is_(null()), every.job.c.created_at >= since),
        or_(until.is_(null()), every.job.c.created_at < until),
    )


def _state(every: Tables) -> ColumnElement[Any]:
    return case(
        (every.running.c.no.is_not(None), ACTIVE),
        (every.done.c.no.is_not(None), every.done.c.state),
        (every.delayed.c.no.is_not(None), DELAYED),
        (every.blocked.c.no.is_not(None), BLOCKED),
        else_=WAITING,
    )


def _job(every: Tables) -> Select[Any]:
    """Select `Standing` of jobs: each state is one probe of a key."""
    job, ready, delayed = every.job, every.ready, every.delayed
    running, lease, done, past = every.running, every.lease, every.done, every.past
    blocked, gated = every.blocked, every.gated
    until = case(
        (running.c.until > lease.c.until, running.c.until),
        else_=lease.c.until,
    )
    error = case(
        (and_(done.c.no.is_not(None), done.c.state != COMPLETED), done.c.error),
        else_=func.coalesce(done.c.error, past.c.error),
    )
    settled = func.coalesce(done.c.settled, past.c.settled, false())
    return (
        select(
            job.c.no,
            job.c.id,
            job.c.queue,
            every.queue.c.name,
            job.c.lane,
            every.lane.c.name,
            every.lane.c.channel,
            _state(every),
            job.c.payload,
            job.c.options,
            job.c.prio,
            job.c.attempts,
            job.c.max_crashes,
            job.c.flags,
            job.c.ttl_ms,
            *(
                func.coalesce(
                    *(table.c[name] for table in (running, done, delayed, ready, blocked)),
                    literal(0),
                )
                for name in ("failures", "crashes")
            ),
            func.coalesce(running.c.lease, done.c.lease, past.c.lease, literal(0)),
            job.c.created_at,
            job.c.due,
            func.coalesce(lease.c.started_at, done.c.started_at, past.c.started_at),
            done.c.finished_at,
            job.c.expires_at,
            until,
            func.coalesce(lease.c.worker, done.c.worker, past.c.worker),
            job.c.flags.op("&")(CANCEL_ASKED),
            settled,
            every.progress.c.body,
            done.c.result,
            error,
            done.c.reason,
            ready.c.queue,
            blocked.c.line,
            job.c.dedup,
            *(column for column in gated.c if column.name != "no"),
        )
        .select_from(job)
        .join(every.queue, every.queue.c.id == job.c.queue)
        .join(every.lane, every.lane.c.id == job.c.lane)
        .outerjoin(running, running.c.no == job.c.no)
        .outerjoin(lease, lease.c.no == running.c.lease)
        .outerjoin(done, done.c.no == job.c.no)
        .outerjoin(
            delayed,
            and_(
                delayed.c.queue == job.c.queue,
                delayed.c.due == job.c.due,
                delayed.c.no == job.c.no,
            ),
        )
        .outerjoin(
            ready,
            and_(
                ready.c.queue.in_([job.c.queue, -job.c.queue]),
                ready.c.prio == job.c.prio,
                ready.c.due == _signed(every, job.c.due),
                ready.c.no == _signed(every, job.c.no),
            ),
        )
        .outerjoin(blocked, blocked.c.no == _signed(every, job.c.no))
        .outerjoin(gated, gated.c.no == job.c.no)
        .outerjoin(past, past.c.no == job.c.no)
        .outerjoin(every.progress, every.progress.c.no == job.c.no)
    )


def _signed(every: Tables, value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Write a due or a number as `ready` orders it."""
    return case((every.job.c.flags.op("&")(LIFO) != 0, -value), else_=value)


@lru_cache(maxsize=64)
def looking(namespace: str, flavor: Flavor, schema: str | None = None) -> Looking:
    """Return the statements of a namespace, the same each time."""
    return Looking(namespace, flavor, schema)
