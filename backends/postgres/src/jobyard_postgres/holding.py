"""What a holder does to its leases while the run goes on; and what happens when it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

from jobyard.job import Reason
from jobyard.lease import Hold, Lease, LogLine, Note, Progress, Reaped
from jobyard_postgres.arrays import byteas, nullable_int8s
from jobyard_postgres.leases import lease_arrays
from jobyard_postgres.store import Store
from jobyard_sql.codes import STATES

HOLDS: Final = (Hold.HELD, Hold.LOST, Hold.CANCELLED)


async def extend(store: Store, leases: Sequence[Lease], ttl_ms: int) -> tuple[Hold, ...]:
    """Make leases last."""
    if not leases:
        return ()
    (holds,) = await store.call_one("extend", store.now, store.fast, *lease_arrays(leases), ttl_ms)
    return tuple(HOLDS[hold] for hold in holds)


async def report(store: Store, notes: Sequence[Note]) -> tuple[Hold, ...]:
    """Write progress and lines of logs."""
    if not notes:
        return ()
    keeps: list[int | None] = []
    bodies: list[bytes] = []
    for note in notes:
        match note:
            case Progress(_, value):
                keeps.append(None)
                bodies.append(value)
            case LogLine(_, line, keep):
                keeps.append(keep)
                bodies.append(line.encode("utf-8", "surrogatepass"))
            case _:
                assert_never(note)
    holds, listening = await store.call_one(
        "report",
        store.now,
        store.fast,
        *lease_arrays([note.lease for note in notes]),
        nullable_int8s(keeps),
        byteas(bodies),
    )
    store.bell.ring(events=listening)
    return tuple(HOLDS[hold] for hold in holds)


async def reap(store: Store, limit: int) -> tuple[Reaped, ...]:
    """Take back expired leases and end jobs past their time to live."""
    if limit <= 0:
        return ()
    rows = await store.call("reap", store.now, store.fast, limit)
    if rows:
        woken = {row[1] for row in rows if row[0] is not None}
        store.bell.ring(woken.union(rows[-1][9] or ()), events=rows[0][8])
    return tuple(
        Reaped(
            job_id=job_id,
            queue=queue,
            name=name,
            fence=fence,
            crashes=crashes,
            state=STATES[state],
            reason=None if reason is None else Reason(reason),
            worker=worker,
        )
        for job_id, queue, name, fence, crashes, state, reason, worker, *_ in rows
        if job_id is not None
    )
