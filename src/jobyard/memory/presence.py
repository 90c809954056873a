"""Workers: who lives, by their own word."""

from __future__ import annotations

import msgspec

from jobyard.events import EventKind, StoredEvent
from jobyard.memory.step import Step
from jobyard.memory.yard import Presence
from jobyard.presence import WorkerInfo, WorkerState

__all__ = ["beat", "workers"]


def beat(step: Step, worker: WorkerInfo, *, ttl_ms: int) -> None:
    """Note that a worker lives, or that it has stopped.

    One that is not listed, because it stopped or was not heard of for too long, begins anew. A
    word of stopping that is repeated says nothing more.
    """
    known = _living(step).get(worker.id)
    for kind in _news(known, worker.state):
        step.tell(StoredEvent(kind=kind, at=step.now, worker=worker.id))
    if worker.state is WorkerState.STOPPED:
        step.yard.workers.pop(worker.id, None)
        return
    info = msgspec.structs.replace(
        worker,
        started_at=step.now if known is None else known.info.started_at,
        seen_at=step.now,
    )
    step.yard.workers[worker.id] = Presence(info, step.now + ttl_ms)


def _news(known: Presence | None, state: WorkerState) -> list[EventKind]:
    """Tell what a beat says that was not known before (EVENTS-7)."""
    if state is WorkerState.STOPPED:
        return [] if known is None else [EventKind.WORKER_STOPPED]
    news = [EventKind.WORKER_STARTED] if known is None else []
    if state is WorkerState.STOPPING and (known is None or known.info.state is not state):
        news.append(EventKind.WORKER_STOPPING)
    return news or [EventKind.HEARTBEAT]


def _living(step: Step) -> dict[str, Presence]:
    """Give the workers that live, having forgotten those not heard of for too long."""
    present = step.yard.workers
    for worker_id in [each for each, its in present.items() if its.until <= step.now]:
        del present[worker_id]
    return present


def workers(step: Step) -> tuple[WorkerInfo, ...]:
    """List the workers that live, by id."""
    return tuple(presence.info for _id, presence in sorted(_living(step).items()))
