"""Statements for schedules, workers, subscriptions, events and metrics, built with SQLAlchemy."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Text,
    bindparam,
    cast,
    func,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.sql.elements import ColumnElement

from jobyard_sql.codes import CURRENT, TALLIES
from jobyard_sql.flavor import Flavor
from jobyard_sql.tables import Tables, tables

__all__ = ["Signals", "signals"]


class Signals:
    """The statements for one namespace and flavor."""

    def __init__(self, namespace: str, flavor: Flavor, schema: str | None = None) -> None:
        every = tables(namespace, schema)
        self._schedules(every, flavor)
        self._workers(every, flavor)
        self._events(every, flavor)
        self._metrics(every, flavor)

    def _schedules(self, every: Tables, flavor: Flavor) -> None:
        schedule = every.schedule
        key = schedule.c.key
        columns = (
            key,
            schedule.c.definition,
            schedule.c.next_at,
            schedule.c.paused,
            schedule.c.fired,
            schedule.c.last_at,
        )
        self.put_schedule = flavor.compile(
            schedule.insert().prefix_with("OR REPLACE", dialect="sqlite")
        )
        self.drop_schedules = flavor.compile(
            schedule.delete().where(key.in_(flavor.members("keys", Text)))
        )
        page = (
            select(*columns).where(key > bindparam("after")).order_by(key).limit(bindparam("limit"))
        )
        self.schedules = flavor.compile(page)
        self.schedule = flavor.compile(select(*columns).where(key == bindparam("of")))
        self.due_schedules = flavor.compile(
            page.where(schedule.c.paused.is_(False), schedule.c.next_at <= bindparam("now"))
        )
        self.fire = flavor.compile(
            schedule.update()
            .where(
                key == bindparam("of"),
                schedule.c.paused.is_(False),
                schedule.c.next_at == bindparam("expected"),
            )
            .values(
                next_at=bindparam("following"),
                last_at=bindparam("expected"),
                fired=schedule.c.fired + 1,
            )
        )

    def _workers(self, every: Tables, flavor: Flavor) -> None:
        worker = every.worker
        self.worker = flavor.compile(
            select(worker.c.state, worker.c.started_at, worker.c.until).where(
                worker.c.id == bindparam("of")
            )
        )
        self.put_worker = flavor.compile(
            worker.insert().prefix_with("OR REPLACE", dialect="sqlite")
        )
        self.drop_worker = flavor.compile(worker.delete().where(worker.c.id == bindparam("of")))
        self.drop_silent_workers = flavor.compile(
            worker.delete().where(worker.c.until <= bindparam("now"))
        )
        self.workers = flavor.compile(
            select(worker.c.body, worker.c.started_at, worker.c.seen_at)
            .where(worker.c.until > bindparam("now"))
            .order_by(worker.c.id)
        )

    def _events(self, every: Tables, flavor: Flavor) -> None:
        subscription, counter, event = every.subscription, every.counter, every.event
        self.put_subscription = flavor.compile(
            subscription.insert().prefix_with("OR REPLACE", dialect="sqlite")
        )
        self.drop_subscription = flavor.compile(
            subscription.delete().where(
                or_(
                    subscription.c.id == bindparam("of"),
                    subscription.c.until <= bindparam("now"),
                )
            )
        )
        self.listen_until = flavor.compile(
            counter.update().values(
                listeners_until=select(
                    func.coalesce(func.max(subscription.c.until), 0)
                ).scalar_subquery()
            )
        )
        self.pass_one_event_over = flavor.compile(
            counter.update().values(event=counter.c.event + 1)
        )
        self.put_event = flavor.compile(event.insert())
        self.trim_events = flavor.compile(event.delete().where(event.c.last <= bindparam("until")))
        self.last_event = flavor.compile(select(counter.c.event))
        self.first_event = flavor.compile(
            select(event.c.last, event.c.body).order_by(event.c.last).limit(1)
        )
        self.events = flavor.compile(
            select(event.c.last, event.c.body)
            .where(event.c.last > bindparam("after"))
            .order_by(event.c.last)
            .limit(bindparam("limit"))
        )

    def _metrics(self, every: Tables, flavor: Flavor) -> None:
        tally, gauge, queue = every.tally, every.gauge, every.queue
        of_queue = select(queue.c.id).where(queue.c.name == bindparam("queue")).scalar_subquery()
        *tallies, peak = CURRENT
        every_minute = union_all(
            select(tally.c.minute, *(tally.c[name] for name in (*TALLIES, "peak"))).where(
                tally.c.queue == of_queue
            ),
            select(gauge.c.minute, *(gauge.c[name] for name in (*tallies, peak))).where(
                gauge.c.queue == of_queue
            ),
        ).subquery()
        minute = every_minute.c.minute
        figures: list[ColumnElement[Any]] = [
            cast(func.coalesce(func.sum(every_minute.c[name]), 0), BigInteger) for name in TALLIES
        ]
        figures.append(func.coalesce(func.max(every_minute.c.peak), 0))
        self.total = flavor.compile(select(null(), *figures))
        self.minutes = flavor.compile(
            select(minute, *figures)
            .where(minute > 0, minute >= bindparam("since"), minute < bindparam("until"))
            .group_by(minute)
            .order_by(minute)
        )


@lru_cache(maxsize=64)
def signals(namespace: str, flavor: Flavor, schema: str | None = None) -> Signals:
    """Return the statements of a namespace, the same each time."""
    return Signals(namespace, flavor, schema)
