"""What claim and settle send, and what they are answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

from jobyard.job import JobState, Reason
from jobyard.lease import (
    Cancelled,
    Claim,
    Claimed,
    Done,
    Failed,
    Lease,
    Outcome,
    Reaped,
    Released,
    Retried,
    Settled,
    Settlement,
    Snoozed,
    Source,
    Stalled,
)
from jobyard_redis.link import Argument
from jobyard_redis.records import (
    DROP,
    FACTS,
    GATED,
    NOT_PLAIN,
    STATES,
    WISHES,
    escaped,
    fields_of,
    member_of,
    packed,
    read_facts,
    spelled,
    unescaped,
)

SETTLED = {
    ord("o"): Settled.OK,
    ord("a"): Settled.ALREADY,
    ord("l"): Settled.LOST,
    ord("g"): Settled.GONE,
}


# -- claiming


def claim_arguments(want: Claim) -> list[Argument]:
    """Write a claim for the scripts."""
    found: list[Argument] = [
        escaped(want.lease_id),
        escaped(want.worker),
        want.limit,
        want.ttl_ms,
        "" if want.as_of is None else want.as_of,
        len(want.sources),
    ]
    for source in want.sources:
        found += _source_arguments(source)
    return found


def _source_arguments(source: Source) -> list[Argument]:
    found: list[Argument] = [source.queue, source.limit]
    for chosen in (source.names, source.channels):
        if chosen is None:
            found.append(-1)
        else:
            found += (len(chosen), *chosen)
    return found


def claimed_from(want: Claim, said: Sequence[Any]) -> Claimed:
    """Read what a claim gave."""
    now, due, fence, ends, ids, records, facts, own_ends = said
    leases: tuple[Lease, ...] = ()
    if ids:
        number, until = int(fence), int(ends)
        leases = tuple(
            [
                _lease(want.lease_id, number, until, *job)
                for job in zip(ids, records, facts, strict=True)
            ]
            if not own_ends
            else [
                _lease(want.lease_id, number, int(end), *job)
                for end, *job in zip(own_ends, ids, records, facts, strict=True)
            ]
        )
    return Claimed(leases=leases, now=int(now), next_due=int(due) if due else None)


def _lease(
    lease_id: str, fence: int, until: int, job_id: bytes, written: bytes, facts: bytes | None
) -> Lease:
    (
        no,
        flags,
        due,
        created,
        expires,
        priority,
        queue,
        channel,
        name,
        attempts,
        max_crashes,
        options,
        payload,
        wishes,
    ) = fields_of(written)
    failures = crashes = 0
    if flags & WISHES and wishes.are_gates:
        flags |= GATED
    if facts is not None:
        known = read_facts(facts)
        flags |= FACTS
        due = due if known.due is None else known.due
        priority = priority if known.priority is None else known.priority
        expires = expires if known.expires is None else known.expires
        failures, crashes = known.failures, known.crashes
    return Lease(
        spelled(job_id),
        lease_id,
        fence,
        no,
        flags,
        queue,
        name,
        channel,
        payload,
        options,
        priority,
        attempts,
        max_crashes,
        failures,
        crashes,
        created,
        due,
        until,
        expires,
        wishes.group,
    )


# -- settling


def settle_arguments(settlements: Sequence[Settlement]) -> tuple[list[Argument], list[int]]:
    """Write settlements for the script, and tell in which order they stand there.

    Completed runs that need no look at their job stand together by lease, queue and name; a job
    that is settled twice in one call is looked at the second time.
    """
    sections: dict[tuple[str, str, str, str], list[int]] = {}
    others: list[int] = []
    seen: set[str] = set()
    for index, settlement in enumerate(settlements):
        lease = settlement.lease
        if type(settlement.outcome) is not Done or lease.flags & NOT_PLAIN or lease.job_id in seen:
            others.append(index)
        else:
            kind = "d" if lease.flags & DROP else "k"
            key = (kind, lease.lease_id, lease.queue, lease.name)
            section = sections.get(key)
            if section is None:
                sections[key] = [index]
            else:
                section.append(index)
        seen.add(lease.job_id)
    found: list[Argument] = [len(sections)]
    order: list[int] = []
    for (kind, lease_id, queue, name), indexes in sections.items():
        found += (kind, escaped(lease_id), queue, name)
        found += _plain([settlements[index] for index in indexes])
        order += indexes
    found.append(len(others))
    for index in others:
        found += _other(settlements[index])
    return found, order + others


def _plain(settlements: Sequence[Settlement]) -> list[Argument]:
    """Write completed runs: run times, whether any has a result, members, and results if so."""
    members = []
    for settlement in settlements:
        lease = settlement.lease
        members.append(member_of(lease.no, lease.flags, lease.job_id))
    runs = "".join([f"{settlement.ran_ms}," for settlement in settlements])
    results = [_result_of(settlement.outcome) for settlement in settlements]
    if not any(result is not None for result in results):
        return [runs, "", len(members), *members]
    tails = [b"-1\n" if each is None else b"%d\n%b" % (len(each), each) for each in results]
    return [runs, "1", len(members), *members, *tails]


def _result_of(outcome: Outcome) -> bytes | None:
    return outcome.result if type(outcome) is Done else None


def _other(settlement: Settlement) -> tuple[Argument, ...]:
    lease = settlement.lease
    kind, delay, reason, body = _outcome(settlement.outcome)
    return (
        escaped(lease.lease_id),
        lease.queue,
        packed(lease.job_id),
        kind,
        delay,
        reason,
        settlement.ran_ms,
        signed(body),
    )


def signed(body: bytes | None) -> bytes:
    """Write bytes or their absence."""
    return b"" if body is None else b"+" + body


def _outcome(outcome: Outcome) -> tuple[str, int, str, bytes | None]:
    match outcome:
        case Done(result):
            found = ("done", 0, "", result)
        case Retried(delay_ms, error):
            found = ("retried", delay_ms, "", error)
        case Failed(reason, error):
            found = ("failed", 0, reason.value, error)
        case Snoozed(delay_ms):
            found = ("snoozed", delay_ms, "", None)
        case Released():
            found = ("released", 0, "", None)
        case Cancelled():
            found = ("cancelled", 0, "", None)
        case Stalled(error):
            found = ("stalled", 0, "", error)
        case _:
            assert_never(outcome)
    return found


def settled_from(said: bytes, order: Sequence[int]) -> tuple[Settled, ...]:
    """Read the answers, and put them into the order asked."""
    results = [Settled.OK] * len(order)
    for index, code in zip(order, said, strict=True):
        results[index] = SETTLED[code]
    return tuple(results)


def reaped_from(said: Sequence[Any]) -> Reaped:
    """Read what became of a job that was reaped."""
    job_id, queue, name, fence, crashes, state, reason, worker = said
    ended: JobState = STATES[state]
    return Reaped(
        job_id=spelled(job_id),
        queue=queue.decode(),
        name=name.decode(),
        fence=int(fence),
        crashes=int(crashes),
        state=ended,
        reason=Reason(reason.decode()) if reason else None,
        worker=None if worker is None else unescaped(worker),
    )
