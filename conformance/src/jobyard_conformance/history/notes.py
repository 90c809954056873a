"""What a history keeps of each call: by method, of its arguments and of its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from jobyard.edits import Change, Control, Sweep, Swept
from jobyard.job import Added, JobSpec, Unit
from jobyard.lease import (
    Claim,
    Claimed,
    Done,
    Hold,
    Lease,
    Note,
    Outcome,
    Reaped,
    Retried,
    Settlement,
    Settling,
    Snoozed,
)
from jobyard_conformance.history.records import JobNote, Kind, digest

__all__ = ["NOTED", "Asked", "leased"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One operation as asked, and how to read its answer."""

    kind: Kind
    fields: Mapping[str, Any]
    told: Callable[[Any], dict[str, Any]] = field(default=lambda _: {})


def _add(units: Sequence[Unit], **_: object) -> list[Asked]:
    asked = tuple(_added(job, unit) for unit, jobs in enumerate(units) for job in jobs)

    def told(answers: Sequence[tuple[Added, ...]]) -> dict[str, Any]:
        flat = [answer for unit in answers for answer in unit]
        return {"jobs": tuple(map(_answered, asked, flat))}

    return [Asked(Kind.ADD, {"jobs": asked}, told)]


def _added(job: JobSpec, unit: int = 0) -> JobNote:
    keeps = [job.keep_completed, job.keep_failed]
    held_back = job.group or job.rate or job.dedup or job.depends_on
    return JobNote(
        id=job.id,
        queue=job.queue,
        unit=unit,
        priority=job.priority,
        delay_ms=job.delay_ms,
        max_crashes=job.max_crashes,
        plain=not (job.delay_ms or job.run_at or job.lifo or job.ttl_ms or held_back),
        gone_at_end=any(keep is not None and keep.count is not None for keep in keeps),
        group=job.group.key if job.group else "",
        places=job.group.limit if job.group else 0,
        rate=job.rate.key if job.rate else "",
        slots=job.rate.count if job.rate else 0,
        per_ms=job.rate.per_ms if job.rate else 0,
        parents=tuple(each.parent for each in job.depends_on),
        in_turn=job.group is not None
        and not (job.delay_ms or job.run_at or job.lifo or job.ttl_ms)
        and not (job.rate or job.dedup or job.depends_on),
    )


def _answered(asked: JobNote, answer: Added) -> JobNote:
    state = "" if answer.state is None else answer.state.value
    return _with(asked, answer=answer.outcome.value, state=state)


def _with(note: JobNote, **fields: Any) -> JobNote:
    return JobNote(**{name: getattr(note, name) for name in note.__struct_fields__} | fields)


def _claim(want: Claim) -> list[Asked]:
    whole = all(each.names is None and each.channels is None for each in want.sources)
    asked = {
        "lease": want.lease_id,
        "limit": min(want.limit, *(each.limit for each in want.sources))
        if len(want.sources) == 1
        else want.limit,
        "ttl_ms": want.ttl_ms,
        "queues": tuple(each.queue for each in want.sources),
        "whole": whole and want.as_of is None and len(want.sources) == 1,
    }

    def told(answer: Claimed) -> dict[str, Any]:
        jobs = tuple(
            JobNote(
                id=lease.job_id,
                queue=lease.queue,
                lease=lease.lease_id,
                fence=lease.fence,
                until=lease.until,
                no=lease.no,
                priority=lease.priority,
                due=lease.due_at,
                failures=lease.failures,
                crashes=lease.crashes,
                max_crashes=lease.max_crashes,
            )
            for lease in answer.leases
        )
        again = answer.next_due is not None and answer.next_due <= answer.now
        return {"jobs": jobs, "store_at": answer.now, "again": again}

    return [Asked(Kind.CLAIM, asked, told)]


def leased(lease: Lease, **fields: Any) -> JobNote:
    """Note a job with the proof of holding it."""
    return JobNote(id=lease.job_id, lease=lease.lease_id, fence=lease.fence, **fields)


def _settle(settlements: Sequence[Settlement], *, claim: Claim | None = None) -> list[Asked]:
    asked = tuple(_settled(each) for each in settlements)

    def told(answer: Settling) -> dict[str, Any]:
        answers = zip(asked, answer.results, strict=True)
        return {"jobs": tuple(_with(note, answer=result.value) for note, result in answers)}

    ops = [Asked(Kind.SETTLE, {"jobs": asked}, told)]
    if claim is not None:
        (with_it,) = _claim(claim)
        ops.append(Asked(Kind.CLAIM, with_it.fields, lambda answer: with_it.told(answer.claimed)))
    return ops


def _settled(end: Settlement) -> JobNote:
    outcome: Outcome = end.outcome
    delay = outcome.delay_ms if isinstance(outcome, (Retried, Snoozed)) else 0
    result = digest(outcome.result) if isinstance(outcome, Done) else ""
    return leased(end.lease, outcome=type(outcome).__name__, delay_ms=delay, digest=result)


def _holds(kind: Kind, leases: Sequence[Lease], **fields: Any) -> list[Asked]:
    asked = tuple(leased(each) for each in leases)

    def told(answers: Sequence[Hold]) -> dict[str, Any]:
        return {
            "jobs": tuple(_with(n, answer=a.value) for n, a in zip(asked, answers, strict=True))
        }

    return [Asked(kind, {"jobs": asked, **fields}, told)]


def _extend(leases: Sequence[Lease], *, ttl_ms: int) -> list[Asked]:
    return _holds(Kind.EXTEND, leases, ttl_ms=ttl_ms)


def _report(notes: Sequence[Note]) -> list[Asked]:
    return _holds(Kind.REPORT, [each.lease for each in notes])


def _reap(*, limit: int) -> list[Asked]:
    def told(answers: Sequence[Reaped]) -> dict[str, Any]:
        jobs = tuple(
            JobNote(
                id=each.job_id,
                queue=each.queue,
                fence=each.fence if each.worker is not None else 0,
                crashes=each.crashes,
                state=each.state.value,
                reason="" if each.reason is None else each.reason.value,
            )
            for each in answers
        )
        return {"jobs": jobs}

    return [Asked(Kind.REAP, {"limit": limit}, told)]


def _change(job_ids: Sequence[str], change: Change) -> list[Asked]:
    asked = tuple(JobNote(id=each, outcome=type(change).__name__) for each in job_ids)

    def told(answers: Sequence[Any]) -> dict[str, Any]:
        pairs = zip(asked, answers, strict=True)
        return {"jobs": tuple(_with(note, answer=each.outcome.value) for note, each in pairs)}

    return [Asked(Kind.CHANGE, {"jobs": asked, "text": type(change).__name__}, told)]


def _sweep(sweep: Sweep, *, limit: int = 1_000) -> list[Asked]:
    queue: str | None = getattr(sweep, "queue", None)
    queues = () if queue is None else (queue,)
    fields = {"text": type(sweep).__name__, "queues": queues, "limit": limit}

    def told(answer: Swept) -> dict[str, Any]:
        return {"removed": answer.removed}

    return [Asked(Kind.SWEEP, fields, told)]


def _control(queue: str, control: Control) -> list[Asked]:
    return [Asked(Kind.CONTROL, {"text": type(control).__name__, "queues": (queue,)})]


def _fire(key: str, *, expected: int, next_at: int | None, jobs: Unit) -> list[Asked]:
    del next_at
    asked = tuple(_added(job) for job in jobs)

    def told(answer: tuple[Added, ...] | None) -> dict[str, Any]:
        if answer is None:
            return {"jobs": (), "text": ""}
        return {"jobs": tuple(map(_answered, asked, answer)), "text": f"{key}@{expected}"}

    return [Asked(Kind.FIRE, {"jobs": asked, "text": f"{key}@{expected}"}, told)]


NOTED: Final[Mapping[str, Callable[..., list[Asked]]]] = MappingProxyType(
    {
        "add": _add,
        "claim": _claim,
        "settle": _settle,
        "extend": _extend,
        "report": _report,
        "reap": _reap,
        "change": _change,
        "control": _control,
        "sweep": _sweep,
        "fire": _fire,
    }
)
"""The methods whose calls are written down."""
