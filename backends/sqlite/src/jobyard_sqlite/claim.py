"""Leasing jobs: the head of the queues, taken as ranges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from jobyard.events import EventKind, StoredEvent
from jobyard.lease import MAX_BATCH, Claim, Claimed, Lease, Source
from jobyard_sql.codes import ACTIVE, DELAYED, WAITING, WHOLE_QUEUE, Tally
from jobyard_sqlite.heads import (
    STRAND,
    Strand,
    Strands,
    head,
    key_of,
    leases_from,
    merged_head,
)
from jobyard_sqlite.lanes import LaneRow, QueueRow
from jobyard_sqlite.limits import Room, Rooms, count_starts, opens_at, within_rooms
from jobyard_sqlite.passing import admit, start
from jobyard_sqlite.transaction import Transaction
from jobyard_sqlite.transitions import leave, standing

LAST: Final = 2**63 - 1
"""After every insertion number."""

SPENT_KEPT: Final = 1_000
"""For how many further claims a lease is known that holds nothing any more (CLAIM-8)."""

FORGET_EVERY: Final = 100


def claim(tx: Transaction, want: Claim) -> Claimed:
    """Lease due jobs."""
    limit = min(want.limit, MAX_BATCH)
    queues = _open_queues(tx, want.sources)
    if not limit or not want.sources:
        return Claimed(leases=(), now=tx.now, next_due=_next_due(tx, want, queues))
    again = _again(tx, want)
    if again is not None:
        return Claimed(leases=again, now=tx.now, next_due=_next_due(tx, want, queues))
    tx.horizon = max(tx.now, want.as_of or 0)
    next_due = promote(tx, queues, tx.horizon)
    sources = _sources(tx, want.sources, queues)
    leases = _take(tx, want, sources, limit) if sources else ()
    paced, limited = _count_starts(tx, leases, queues)
    if paced or limited:
        next_due = _next_due(tx, want, queues)
    return Claimed(leases=leases, now=tx.now, next_due=next_due)


def _again(tx: Transaction, want: Claim) -> tuple[Lease, ...] | None:
    """Return what the first call of a repeated claim still holds; `None` for a first one."""
    lease = tx.row(tx.moves.lease_of, (want.lease_id,))
    if lease is None:
        return None
    fence, until = lease
    rows = tx.rows(tx.moves.held_leases, (fence,))
    leases = leases_from(tx, rows, lease_id=want.lease_id, fence=fence, until=until)
    return tuple(
        [
            # one of a claim's jobs may have been extended without the others
            msgspec.structs.replace(lease, until=max(until, row[-1] or 0))
            for lease, row in zip(leases, rows, strict=True)
        ]
    )


def _open_queues(tx: Transaction, sources: Sequence[Source]) -> dict[str, QueueRow]:
    """Return the queues of the sources that are known and not paused."""
    names = {source.queue for source in sources}
    found = ((name, tx.queue(name)) for name in names)
    return {
        name: queue
        for name, queue in found
        if queue is not None and not (queue.paused or queue.closing)
    }


def _next_due(tx: Transaction, want: Claim, queues: dict[str, QueueRow]) -> int | None:
    """Tell when something of the queues may be given that is not to be given now."""
    rows = [tx.row(tx.moves.next_due, (queue.id,)) for queue in queues.values()]
    dues = [due for due, _ in filter(None, rows)]
    for source in want.sources:
        queue = queues.get(source.queue)
        if queue is not None and source.limit > 0 and tx.limiters(queue):
            dues += _openings(tx, source, queue)
    return min(dues, default=None)


def _openings(tx: Transaction, source: Source, queue: QueueRow) -> Iterator[int]:
    """Tell from when what waits and is kept back by a hold or a rate may be given (LIMIT-5)."""
    for lane in _served(tx, source, queue):
        at = opens_at(tx, queue, lane.name)
        if at > tx.now and _waits(tx, Strand("lane", lane.id, queue)):
            yield at


def _waits(tx: Transaction, strand: Strand) -> bool:
    """Tell whether a range has a job that is not past its time to live."""
    source = Strands((strand,), 1)
    while True:
        rows = head(tx, source, 1)
        leases = leases_from(tx, rows, lease_id="", fence=0, until=0)
        if not _set_aside(tx, leases, {strand.queue.name: strand.queue.id}):
            return bool(rows)


def _count_starts(
    tx: Transaction, leases: Sequence[Lease], queues: dict[str, QueueRow]
) -> tuple[bool, bool]:
    """Count what was taken of rates and limits; tell whether there are any of the two."""
    paced = bool(tx.rates)
    if paced:
        start(tx, leases)
    limited = any(tx.limiters(queue) for queue in queues.values())
    if limited:
        count_starts(tx, leases)
    return paced, limited


def promote(tx: Transaction, queues: dict[str, QueueRow], instant: int) -> int | None:
    """Let due delayed jobs wait, a bounded number; return the due of the first that is left."""
    earliest: int | None = None
    for queue in queues.values():
        row = tx.row(tx.moves.next_due, (queue.id,))
        if row is not None and row[0] <= instant:
            last = tx.row(tx.moves.last_promoted, (queue.id, instant)) or (instant, LAST)
            moved = tx.run(tx.moves.promote, (queue.id, *last))
            tx.run(tx.moves.promoted, (queue.id, *last))
            delta = tx.delta(queue.id, queue.name)
            delta.move(DELAYED, WAITING, moved)
            delta.due_before |= row[0] <= tx.now
            row = tx.row(tx.moves.next_due, (queue.id,))
            if row is not None and tuple(row) <= tuple(last):
                _promote_gated(tx, queue, last)
                row = tx.row(tx.moves.next_due, (queue.id,))
        if row is not None and (earliest is None or row[0] < earliest):
            earliest = row[0]
    return earliest


def _promote_gated(tx: Transaction, queue: QueueRow, last: tuple[int, int]) -> None:
    """Let due jobs of groups and rates wait, as far as these let them."""
    due = [no for (no,) in tx.rows(tx.gating.gated_due, (queue.id, *last))]
    jobs = standing(tx, due)
    for number in due:
        job = jobs[number]
        leave(tx, job)
        admit(tx, job, due=job.due)


def _sources(
    tx: Transaction, sources: Sequence[Source], queues: dict[str, QueueRow]
) -> list[Strands]:
    """Find the ranges that the sources may take from."""
    found: list[Strands] = []
    rooms = Rooms(tx)
    for source in sources:
        queue = queues.get(source.queue)
        if queue is None or source.limit <= 0:
            continue
        if tx.limiters(queue):
            found += _limited_strands(tx, source, queue, rooms)
        elif strands := _strands(tx, source, queue):
            found.append(Strands(strands, source.limit))
    return found


def _strands(tx: Transaction, source: Source, queue: QueueRow) -> tuple[Strand, ...]:
    whole = Strand("queue", queue.id, queue)
    if source.names is None and source.channels is None:
        return (whole,)
    served = _served(tx, source, queue)
    if len(served) == len(tx.lanes(queue)):
        return (whole,)
    return tuple(Strand("lane", lane.id, queue) for lane in served)


def _served(tx: Transaction, source: Source, queue: QueueRow) -> list[LaneRow]:
    """Tell the lanes of a queue that a source takes from."""
    names, channels = source.names, source.channels
    return [
        lane
        for lane in tx.lanes(queue)
        if (names is None or lane.name in names) and (channels is None or lane.channel in channels)
    ]


def _limited_strands(
    tx: Transaction, source: Source, queue: QueueRow, rooms: Rooms
) -> Iterator[Strands]:
    """Find the ranges of a source whose queue, or a name of it, is limited."""
    limiters, own = tx.limiters(queue), Room(source.limit)
    if limiters.keys() == {WHOLE_QUEUE}:
        parts = {"": _strands(tx, source, queue)}
    else:
        by_name: dict[str, list[Strand]] = {}
        for lane in _served(tx, source, queue):
            key = lane.name if lane.name in limiters else WHOLE_QUEUE
            by_name.setdefault(key, []).append(Strand("lane", lane.id, queue))
        parts = {name: tuple(strands) for name, strands in by_name.items()}
    for name, strands in parts.items():
        bounds = (own, *rooms.of(queue, name))
        left = min(room.left for room in bounds)
        if strands and left > 0:
            yield Strands(strands, left, bounds)


def _take(
    tx: Transaction, want: Claim, sources: Sequence[Strands], limit: int
) -> tuple[Lease, ...]:
    fence, until = tx.next_fence, tx.now + want.ttl_ms
    if len(sources) == 1 and len(sources[0].strands) == 1:
        leases = _take_one(tx, want.lease_id, sources[0], limit=limit, until=until)
    else:
        leases = _take_merged(tx, want.lease_id, sources, limit=limit, until=until)
    if leases:
        tx.take_fence()
        tx.run(
            tx.moves.put_lease,
            (fence, want.lease_id, until, tx.now, want.worker, len(leases)),
        )
        if not fence % FORGET_EVERY:
            tx.run(tx.moves.forget_leases, (fence - SPENT_KEPT,))
        if tx.listening:
            _tell(tx, leases, want.worker)
    return leases


def _take_one(
    tx: Transaction, lease_id: str, source: Strands, *, limit: int, until: int
) -> tuple[Lease, ...]:
    """Take the head of one range."""
    strand = source.strands[0]
    while True:
        rows = head(tx, source, limit)
        leases = leases_from(tx, rows, lease_id=lease_id, fence=tx.next_fence, until=until)
        if not _set_aside(tx, leases, {strand.queue.name: strand.queue.id}):
            break
    if leases:
        _move(tx, strand, leases[-1], len(leases))
    return leases


def _set_aside(tx: Transaction, leases: Sequence[Lease], queue_ids: dict[str, int]) -> bool:
    """Put jobs past their time to live out of the way, for the reaper to end; tell if any."""
    found = False
    for lease in leases:
        if lease.expires_at is not None and lease.expires_at <= tx.now:
            tx.run(tx.moves.set_aside, (queue_ids[lease.queue], *key_of(lease)))
            found = True
    return found


def _move(tx: Transaction, strand: Strand, last: Lease, count: int) -> None:
    """Move the head of a range, up to and with one job, to the running jobs."""
    place = (strand.key, *key_of(last))
    tx.run(tx.moves.move[strand.by], (tx.next_fence, *place))
    tx.run(tx.moves.drop[strand.by], place)
    delta = tx.delta(strand.queue.id, strand.queue.name)
    delta.move(WAITING, ACTIVE, count)
    delta.tally(Tally.STARTED, count)


def _take_merged(
    tx: Transaction, lease_id: str, sources: Sequence[Strands], *, limit: int, until: int
) -> tuple[Lease, ...]:
    """Take the common head of several ranges."""
    limited = any(source.rooms for source in sources)
    strands = [strand for source in sources for strand in source.strands]
    queue_ids = {strand.queue.name: strand.queue.id for strand in strands}
    while True:
        rows = _limited_head(tx, sources, limit) if limited else merged_head(tx, sources, limit)
        leases = leases_from(tx, rows, lease_id=lease_id, fence=tx.next_fence, until=until)
        if not _set_aside(tx, leases, queue_ids):
            break
    counts: dict[int, int] = {}
    last: dict[int, Lease] = {}
    for row, lease in zip(rows, leases, strict=True):
        counts[row[STRAND]] = counts.get(row[STRAND], 0) + 1
        last[row[STRAND]] = lease
    for number, lease in last.items():
        _move(tx, strands[number], lease, counts[number])
    return leases


def _limited_head(tx: Transaction, sources: Sequence[Strands], limit: int) -> list[Any]:
    """Read the first jobs of several ranges that their limits let through.

    Each part gives as many as it may, since others may come to nothing for a room that they share.
    """
    bounded = [each if each.rooms else each._replace(rooms=(Room(each.limit),)) for each in sources]
    rows = merged_head(tx, bounded, sum(min(each.limit, limit) for each in bounded))
    rooms_of = [each.rooms for each in bounded for _ in each.strands]
    return within_rooms(rows, rooms_of, STRAND, limit)


def _tell(tx: Transaction, leases: Sequence[Lease], worker: str) -> None:
    tx.events.extend(
        StoredEvent(
            kind=EventKind.ACTIVE,
            at=tx.now,
            queue=lease.queue,
            job_id=lease.job_id,
            name=lease.name,
            worker=worker,
            attempt=lease.failures + 1,
        )
        for lease in leases
    )
