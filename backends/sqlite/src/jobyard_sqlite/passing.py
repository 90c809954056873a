"""Letting jobs on: the one way into waiting leads past the gates of a job, if it has any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jobyard.events import EventKind, StoredEvent
from jobyard.lease import Lease
from jobyard_sql.codes import BLOCKED, CHILD, GATED, GROUP, LIFO, RATE, WAITING
from jobyard_sql.codes import Gate as Kind
from jobyard_sql.looking import Standing
from jobyard_sqlite.gates import Gate
from jobyard_sqlite.transaction import Transaction
from jobyard_sqlite.transitions import block, delay, leave, standing, wait

__all__ = [
    "admit",
    "ask_gates",
    "drop_if_spent",
    "enrol",
    "enrol_again",
    "enter",
    "fill",
    "fresh",
    "serve",
    "start",
    "strike",
    "strike_off",
]


def fresh(tx: Transaction, job: Standing) -> Standing | None:
    """Read a job anew if this transaction may have moved it since it was read."""
    if tx.stirred and job.flags & (GATED | CHILD):
        return standing(tx, (job.no,)).get(job.no)
    return job


# -- into waiting


def enter(tx: Transaction, job: Standing, *, due: int) -> int:
    """Let a job that has left its state be due at an instant, or now; return its state."""
    if due > tx.now:
        return delay(tx, job, due=due)
    return admit(tx, job, due=tx.now)


def admit(tx: Transaction, job: Standing, *, due: int) -> int:
    """Let a job that has left its state wait, or hold it back; return its state."""
    if job.flags & GATED:
        line, now = ask_gates(tx, job)
        if (now.placed, now.slot_at) != (job.placed, job.slot_at):
            tx.run(tx.gating.let_on, (now.placed, now.slot_at, job.no))
        if line is not None:
            return block(tx, now, line=line, due=due)
        if now.slot_at is not None and now.slot_at > tx.horizon:
            return delay(tx, now, due=max(now.slot_at, due))
    return wait(tx, job, due=due)


def ask_gates(tx: Transaction, job: Standing) -> tuple[int | None, Standing]:
    """Give a job its place and its slot, as far as there are.

    Return the line that it has to stand in for the first of them that it does not get, and the job
    with what it got, which is to be written.
    """
    if job.flags & GROUP and not job.placed:
        places = tx.gates[job.grp or 0]
        if not places.is_free:
            return places.id, job
        places.taken += 1
        places.changed = True
        job = job._replace(placed=1)
    if job.flags & RATE and job.slot_at is None:
        slots = tx.gates[job.rate or 0]
        slot_at = tx.gates.take_slot(slots, tx.now)
        if slot_at is None:
            return slots.id, job
        job = job._replace(slot_at=slot_at)
    return None, job


def start(tx: Transaction, leases: Sequence[Lease]) -> None:
    """Note that jobs of rates were claimed: their slots are free again a period later."""
    numbers = [lease.no for lease in leases if lease.no in tx.rates]
    tx.run_many(tx.gating.started, [(no,) for no in numbers])
    for number, count in Counter([tx.rates[no] for no in numbers]).items():
        slots = tx.gates[number]
        tx.gates.give_slots(slots, tx.now + (slots.per_ms or 0), tx.now, count)
        serve(tx, slots)


# -- out of a gate


def strike(tx: Transaction, job: Standing) -> None:
    """Let go of what the gates of a job gave it, which ends or goes, and let the next have it."""
    strike_off(
        tx,
        job.queue,
        grp=job.grp if job.flags & GROUP else None,
        placed=bool(job.placed),
        rate=job.rate if job.flags & RATE else None,
        slot_at=job.slot_at,
    )


def strike_off(
    tx: Transaction,
    queue: str,
    *,
    grp: int | None,
    placed: bool,
    rate: int | None,
    slot_at: int | None = None,
) -> None:
    """Do what `strike` does, for a job of which no more is known than this."""
    if grp is not None:
        places = tx.gates[grp]
        places.members -= 1
        places.changed = True
        if placed:
            places.taken -= 1
            fill(tx, places, queue)
        if not places.members:
            tx.gates.drop(places)
            _tell_end(tx, queue, places.key)
    if rate is not None:
        slots = tx.gates[rate]
        slots.members -= 1
        slots.changed = True
        if slot_at is not None:
            tx.gates.give_slots(slots, slot_at, tx.now)
            serve(tx, slots)
        drop_if_spent(tx, slots)


def drop_if_spent(tx: Transaction, slots: Gate) -> None:
    """Forget a rate of which no job and no resting slot is left."""
    if not slots.members:
        tx.gates.wake_slots(slots, tx.now)
        if not slots.taken:
            tx.gates.drop(slots)


def _tell_end(tx: Transaction, queue: str, key: str) -> None:
    if tx.listening:
        tx.events.append(
            StoredEvent(kind=EventKind.GROUP_DELETED, at=tx.now, queue=queue, data=key.encode())
        )


def fill(tx: Transaction, places: Gate, queue: str) -> None:
    """Let blocked jobs of a group, which is of a queue, have what places are free.

    They are due now (GROUP-3).
    """
    while places.is_free and places.members > places.taken:
        head = tx.row(tx.gating.first_blocked, (places.id,))
        if head is None:
            return
        tx.stirred = True
        if head[7] & RATE:
            (job,) = standing(tx, (abs(head[2]),)).values()
            leave(tx, job)
            admit(tx, job, due=tx.now)
        else:
            _let_on(tx, places, head, queue)


def _let_on(tx: Transaction, places: Gate, head: Sequence[int], queue: str) -> None:
    """Let a job wait that was blocked for a place alone: what most jobs of groups come by."""
    prio, due, number, of, lane, failures, crashes, flags, grp = head
    tx.run(tx.gating.unblock, (places.id, prio, due, number))
    due = -tx.now if flags & LIFO else tx.now
    tx.run(tx.moves.put_ready, (of, prio, due, number, lane, failures, crashes, flags, grp))
    tx.run(tx.gating.set_due, (tx.now, abs(number)))
    tx.run(tx.gating.let_on, (1, None, abs(number)))
    places.taken += 1
    places.changed = True
    delta = tx.delta(of, queue)
    delta.move(BLOCKED, WAITING)
    delta.woken = True


def serve(tx: Transaction, slots: Gate) -> None:
    """Let blocked jobs of a rate have what slots may be taken."""
    while (head := tx.row(tx.gating.first_blocked, (slots.id,))) is not None:
        at = tx.gates.take_slot(slots, tx.now)
        if at is None:
            return
        tx.stirred = True
        (job,) = standing(tx, (abs(head[2]),)).values()
        leave(tx, job)
        tx.run(tx.gating.let_on, (job.placed, at, job.no))
        enter(tx, job._replace(slot_at=at), due=max(at, job.due))


def enrol_again(tx: Transaction, job: Standing) -> Standing:
    """Let the gates know of a job that had finished and is to run again."""
    grp = rate = None
    if job.group is not None and job.places is not None:
        places = enrol(tx, job.queue_id, Kind.GROUP, job.group, job.places, None)
        grp = places.id
    if job.rate_key is not None and job.starts is not None:
        slots = enrol(tx, job.queue_id, Kind.RATE, job.rate_key, job.starts, job.per_ms)
        rate = slots.id
    tx.run(tx.gating.enrol, (grp, rate, job.no))
    return job._replace(grp=grp, rate=rate, placed=0, slot_at=None)


def enrol(tx: Transaction, queue: int, kind: Kind, key: str, room: int, per_ms: int | None) -> Gate:
    """Let a gate know of one more job; it is made if there is none, else it stays as it is."""
    gate = tx.gates.find(queue, kind, key)
    if gate is None:
        gate = tx.gates.make(queue, kind, key, room=room, per_ms=per_ms)
    gate.members += 1
    gate.changed = True
    return gate
