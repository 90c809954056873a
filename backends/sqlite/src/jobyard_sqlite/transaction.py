"""One write transaction: the only thing that changes the store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Any, Final, NamedTuple

import msgspec

from jobyard.events import EventKind, StoredEvent
from jobyard.lease import MAX_BATCH
from jobyard.metrics import MINUTE_MS
from jobyard_sql.codes import ACTIVE, CURRENT, DELAYED, GAUGES, WAITING, Tally
from jobyard_sql.looking import Standing
from jobyard_sqlite.gates import Gates
from jobyard_sqlite.lanes import LaneRow, Lanes, LimiterRow, QueueRow
from jobyard_sqlite.ledger import QueueDelta
from jobyard_sqlite.statements import Statements

EVENTS_KEPT: Final = 10_000
TRIM_EVERY: Final = 1_000
MINUTES_KEPT: Final = 25 * 60

pack_events: Final = msgspec.msgpack.Encoder().encode


class Parent(NamedTuple):
    """A job that has ended or gone while others may wait for it."""

    id: str
    completed: bool
    gone: bool


class Transaction:
    """The statements run so far, and what is written once at the end.

    `now`, the numbers of jobs, leases and events, and whether anybody listens come from one row,
    read first, together with the queue that the transaction is `about`, and written last. What it
    counts and tells is gathered in `deltas` and `events`, so that a batch costs as many statements
    for it as one job. `keep_room` is how many records it may still remove by the keep rules of the
    jobs that it ends (SETTLE-11).

    `ended` are the parents whose children have not been told yet; `stirred` says that other jobs
    were moved than those that the transaction is about; `rates` are those of the jobs that were
    read to be claimed, by number; `horizon` is the instant by which slots have to be good
    (CLAIM-9).
    """

    def __init__(
        self,
        cursor: sqlite3.Cursor,
        statements: Statements,
        *,
        lanes: Lanes,
        clock_now: int | None,
        host_now: int,
        about: str | None = None,
    ) -> None:
        self.cursor = cursor
        self.moves, self.gating, self.limiting, self.looking, self.signals = statements
        self._lanes = lanes
        self._queues: dict[str, QueueRow | None] = {}
        if about is None:
            row = cursor.execute(self.moves.counter).fetchone()
        else:
            row = cursor.execute(self.moves.counter_and_queue, (about,)).fetchone()
            self._queues[about] = None if row[5] is None else QueueRow(row[5], about, *row[6:])
        self._stored_now: int = row[0]
        self._job: int = row[1]
        self._lease: int = row[2]
        self._event: int = row[3]
        self._begun = row
        self.now: int = clock_now if clock_now is not None else max(self._stored_now, host_now)
        if clock_now is None:
            self._stored_now = self.now
        self.listening: bool = row[4] > self.now
        self.deltas: dict[int, QueueDelta] = {}
        self.events: list[StoredEvent] = []
        self.keep_room = MAX_BATCH
        self.gates = Gates(cursor, self.gating)
        self.ended: list[Parent] = []
        self.rates: dict[int, int] = {}
        self.stirred = False
        self.horizon = self.now

    # -- statements

    def rows(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[Any]:
        """Run a statement and return its rows."""
        found: list[Any] = self.cursor.execute(sql, parameters).fetchall()
        return found

    def row(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> Any:
        """Run a statement and return its first row, or `None`."""
        return self.cursor.execute(sql, parameters).fetchone()

    def run(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> int:
        """Run a statement and return how many rows it wrote."""
        written: int = self.cursor.execute(sql, parameters).rowcount
        return written

    def run_many(self, sql: str, parameters: Iterable[Sequence[Any]]) -> int:
        """Run a statement once for each set of parameters; return how many rows were written."""
        written: int = self.cursor.executemany(sql, parameters).rowcount
        return written

    # -- numbers

    def take_jobs(self, count: int) -> int:
        """Return the first of so many insertion numbers."""
        first = self._job + 1
        self._job += count
        return first

    @property
    def next_fence(self) -> int:
        """The number of the next lease."""
        return self._lease + 1

    def take_fence(self) -> int:
        """Return the number of a lease."""
        self._lease += 1
        return self._lease

    # -- queues and lanes

    def queue(self, name: str) -> QueueRow | None:
        """Look a queue up, once in a transaction."""
        if name not in self._queues:
            row = self.row(self.moves.queue, (name,))
            self._queues[name] = None if row is None else QueueRow(row[0], name, *row[1:])
        return self._queues[name]

    def make_queue(self, name: str) -> QueueRow:
        """Look a queue up, and make it known if it is not."""
        found = self.queue(name)
        if found is None:
            (number,) = self.row(self.moves.make_queue, (name,))
            self.run(self.moves.make_gauge, (number,))
            found = self._queues[name] = QueueRow(number, name, 0, 0, 0)
        return found

    def forget_queue(self, name: str) -> None:
        """Look the queue up anew when it is asked for next."""
        self._queues.pop(name, None)

    def lane(self, queue: QueueRow, channel: str, name: str) -> int:
        """Return the number of a lane, and make it if there is none."""
        key = (queue.id, channel, name)
        number = self._lanes.ids.get(key)
        if number is None:
            for lane in self.rows(self.moves.lanes, (queue.id,)):
                self._lanes.ids[queue.id, lane[1], lane[2]] = lane[0]
            number = self._lanes.ids.get(key)
        if number is None:
            (number,) = self.row(self.moves.make_lane, key)
            self.run(self.moves.bump_queue, (queue.id,))
            self._queues.pop(queue.name, None)
            self._lanes.ids[key] = number
        return number

    def lanes(self, queue: QueueRow) -> tuple[LaneRow, ...]:
        """Return all lanes of a queue."""
        known = self._lanes.of_queue.get(queue.id)
        if known is None or known[0] != queue.ver:
            rows = self.rows(self.moves.lanes, (queue.id,))
            known = (queue.ver, tuple(LaneRow(*row) for row in rows))
            self._lanes.of_queue[queue.id] = known
        return known[1]

    def limiters(self, queue: QueueRow) -> dict[str, LimiterRow]:
        """Return the limiters of a queue by name."""
        known = self._lanes.limiters.get(queue.id)
        if known is None or known[0] != queue.ver:
            rows = [LimiterRow(*row) for row in self.rows(self.limiting.limiters, (queue.id,))]
            known = (queue.ver, {row.name: row for row in rows})
            self._lanes.limiters[queue.id] = known
        return known[1]

    def lane_names(self, lanes: set[int]) -> dict[int, tuple[str, str, str]]:
        """Return the queue, job name and channel of lanes (and of others) by number."""
        names = self._lanes.names
        missing = lanes - names.keys()
        if missing:
            rows = self.rows(self.moves.lane_names, (json.dumps(sorted(missing)),))
            names.update((row[0], row[1:]) for row in rows)
        return names

    # -- counts and events

    def delta(self, queue_id: int, name: str) -> QueueDelta:
        """Return what is gathered for a queue."""
        delta = self.deltas.get(queue_id)
        if delta is None:
            delta = self.deltas[queue_id] = QueueDelta(name)
        return delta

    def of(self, job: Standing) -> QueueDelta:
        """Return what is gathered for a job's queue."""
        return self.delta(job.queue_id, job.queue)

    def present(self, job: Standing, state: int) -> int:
        """Count the jobs of a job's queue that are in a state now."""
        sql = self.moves.present[state]
        (counted,) = self.row(sql, (job.queue_id,))
        return int(counted) + self.of(job).gauges[state]

    def tell(
        self,
        kind: EventKind,
        job: Standing,
        *,
        ran_ms: int | None = None,
        data: bytes | None = None,
        of_run: bool = True,
    ) -> None:
        """Tell a job's transition, if anybody listens; one of a run names worker and attempt."""
        if self.listening:
            self.events.append(
                StoredEvent(
                    kind=kind,
                    at=self.now,
                    queue=job.queue,
                    job_id=job.id,
                    name=job.name,
                    worker=job.worker if of_run else None,
                    attempt=job.failures + 1 if of_run else None,
                    ran_ms=ran_ms,
                    data=data,
                )
            )

    def finish(self) -> None:
        """Write what was gathered; nothing when nothing was."""
        self.gates.save()
        deltas = self.deltas.items()
        for queue_id, delta in sorted(deltas, key=_by_name) if len(deltas) > 1 else deltas:
            if not delta.gone:
                self._count(queue_id, delta)
            if self.listening:
                waiting, active = (0, 0) if delta.gone else self.row(self.moves.busy, (queue_id,))
                self._tell_drained(queue_id, delta, waiting=waiting, active=active)
        if self.events:
            self._log_events()
        numbers = (self._job, self._lease, self._event)
        if self.deltas or numbers != self._begun[1:4]:
            self.run(self.moves.count, (self._stored_now, *numbers))

    def _count(self, queue_id: int, delta: QueueDelta) -> None:
        """Add up in the queue's row, which is of the present minute."""
        changed = [*compress(GAUGES, delta.gauges), *compress(CURRENT, delta.tallies)]
        if not changed:
            return
        minute = self.now - self.now % MINUTE_MS
        parameters = [*filter(None, delta.gauges), *filter(None, delta.tallies)]
        started = delta.tallies[Tally.STARTED] > 0
        if started:
            parameters.append(delta.gauges[ACTIVE])
        parameters += (queue_id, minute)
        sql = self._lanes.gauge(self.moves, tuple(changed), started=started)
        if not self.run(sql, parameters):
            self.run(self.moves.close_minute, (queue_id,))
            self.run(self.moves.open_minute, (minute, queue_id))
            self._fold(queue_id, minute - MINUTES_KEPT * MINUTE_MS)
            self.run(sql, parameters)

    def _fold(self, queue_id: int, before: int) -> None:
        """Add the minutes that are too old to be asked for to the total."""
        self.run(self.moves.fold_tally, (queue_id, before))
        self.run(self.moves.drop_tally, (queue_id, before))

    def _tell_drained(self, queue_id: int, delta: QueueDelta, *, waiting: int, active: int) -> None:
        """Tell that a queue ran empty in this step."""
        before = waiting - delta.gauges[WAITING] + active - delta.gauges[ACTIVE]
        if waiting or active or not (before or delta.due_before):
            return
        due = self.row(self.moves.next_due, (queue_id,))
        if due is None or due[0] > self.now:
            self.events.append(StoredEvent(kind=EventKind.DRAINED, at=self.now, queue=delta.name))

    def _log_events(self) -> None:
        before = self._event
        self._event += len(self.events)
        body = pack_events(self.events)
        self.run(self.signals.put_event, {"last": self._event, "body": body})
        if before // TRIM_EVERY != self._event // TRIM_EVERY:
            self.run(self.signals.trim_events, {"until": self._event - EVENTS_KEPT})


def _by_name(entry: tuple[int, QueueDelta]) -> str:
    return entry[1].name


def was_due(transaction: Transaction, job: Standing) -> bool:
    """Tell whether a job is delayed and due, only not promoted yet."""
    return job.state == DELAYED and job.due <= transaction.now
