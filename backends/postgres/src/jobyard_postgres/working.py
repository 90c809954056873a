"""Claiming and settling: one call for both, as arrays, and its rows as leases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec

from jobyard.lease import (
    Cancelled,
    Claim,
    Claimed,
    Done,
    Failed,
    Lease,
    Outcome,
    Released,
    Retried,
    Settled,
    Settlement,
    Settling,
    Snoozed,
    Stalled,
)
from jobyard_postgres.arrays import (
    int4s,
    int8s,
    nullable_byteas,
    nullable_int8s,
    nullable_texts,
    texts,
)
from jobyard_postgres.leases import lease_arrays
from jobyard_postgres.store import Store
from jobyard_postgres.trouble import Overtaken
from jobyard_sql.codes import DROP, GROUP, NOT_PLAIN

PLAIN: Final = 0
DROPPED: Final = 1
DONE: Final = 2
RETRIED: Final = 3
FAILED: Final = 4
SNOOZED: Final = 5
RELEASED: Final = 6
CANCELLED: Final = 7
STALLED: Final = 8
GROUPED: Final = 9

KINDS: Final[Mapping[type[Outcome], int]] = MappingProxyType(
    {
        Done: DONE,
        Retried: RETRIED,
        Failed: FAILED,
        Snoozed: SNOOZED,
        Released: RELEASED,
        Cancelled: CANCELLED,
        Stalled: STALLED,
    }
)

RESULTS: Final = (Settled.OK, Settled.ALREADY, Settled.LOST, Settled.GONE)

encode: Final = msgspec.json.Encoder().encode


class Head(msgspec.Struct, frozen=True):
    """What the first row says of the step.

    `bad` has the settlements that did not go as asked, `woken` the queues in which jobs may be
    claimed, or will be, that were blocked. `own` has, of a claim repeated, the ends of those of its
    leases that last longer than the others, by the jobs' numbers.
    """

    now: int
    listening: bool
    bad: list[tuple[int, int]]
    woken: list[str] = []
    next_due: int | None = None
    fence: int | None = None
    until: int | None = None
    own: dict[int, int] | None = None


read_head: Final = msgspec.json.Decoder(Head).decode


class Ends:
    """Settlements as arrays, in the order of their jobs' numbers."""

    def __init__(self, settlements: Sequence[Settlement]) -> None:
        self.order = sorted(range(len(settlements)), key=lambda place: settlements[place].lease.no)
        self._ends = [settlements[place] for place in self.order]
        numbers = {end.lease.no for end in self._ends}
        repeated = len(numbers) != len(self._ends)
        self._kinds = [kind_of(end, repeated=repeated) for end in self._ends]

    def take_apart(self) -> None:
        """Let no run be settled together with others."""
        self._kinds = [max(kind, DONE) for kind in self._kinds]

    def arrays(self) -> tuple[Any, ...]:
        """Return the parameters of the step."""
        ends, kinds = self._ends, self._kinds
        apart = any(kinds)
        return (
            *lease_arrays([end.lease for end in ends]),
            texts([end.lease.job_id for end in ends]),
            int4s(kinds) if apart else None,
            int4s(self.order) if apart else None,
            int8s([end.ran_ms for end in ends]),
            nullable_int8s([_delay_of(end) for end in ends]),
            nullable_texts([_reason_of(end) for end in ends]),
            nullable_byteas([_body_of(end) for end in ends]),
        )

    def results(self, bad: Sequence[tuple[int, int]]) -> tuple[Settled, ...]:
        """Return the answers in the order asked."""
        results = [Settled.OK] * len(self._ends)
        for place, code in bad:
            results[self.order[place]] = RESULTS[code]
        return tuple(results)

    def woken(self) -> set[str]:
        """Tell in which queues jobs may wait again."""
        again = (RETRIED, SNOOZED, RELEASED)
        return {
            end.lease.queue
            for end, kind in zip(self._ends, self._kinds, strict=True)
            if kind in again
        }


NONE: Final = (None,) * 11
"""The parameters of a step that settles nothing."""


def kind_of(end: Settlement, *, repeated: bool) -> int:
    """Tell how a settlement is made; plain ones go together unless a job is settled twice."""
    kind = KINDS[type(end.outcome)]
    flags = end.lease.flags
    if kind != DONE or repeated:
        return kind
    if not flags & NOT_PLAIN:
        return PLAIN
    return {DROP: DROPPED, GROUP: GROUPED}.get(flags & NOT_PLAIN, DONE)


def _delay_of(end: Settlement) -> int | None:
    outcome = end.outcome
    return outcome.delay_ms if isinstance(outcome, Retried | Snoozed) else None


def _reason_of(end: Settlement) -> str | None:
    return end.outcome.reason.value if isinstance(end.outcome, Failed) else None


def _body_of(end: Settlement) -> bytes | None:
    outcome = end.outcome
    if type(outcome) is Done:
        return outcome.result
    return outcome.error if isinstance(outcome, Retried | Failed | Stalled) else None


async def claim(store: Store, want: Claim) -> Claimed:
    """Lease due jobs."""
    rows = await store.call("work", store.now, store.fast, *NONE, encode(want).decode())
    head = read_head(rows[0][4])
    if head.listening or head.woken:
        store.bell.ring(head.woken, events=head.listening)
    return await _claimed(store, want, head, rows)


async def settle(store: Store, settlements: Sequence[Settlement], want: Claim | None) -> Settling:
    """End runs, and claim the next jobs in the same step."""
    if not settlements:
        claimed = None if want is None else await claim(store, want)
        return Settling(results=(), claimed=claimed)
    ends = Ends(settlements)
    wish = None if want is None else encode(want).decode()
    try:
        rows = await store.call("work", store.now, store.fast, *ends.arrays(), wish)
    except Overtaken:
        ends.take_apart()
        rows = await store.call("work", store.now, store.fast, *ends.arrays(), wish)
    head = read_head(rows[0][4])
    store.bell.ring(ends.woken().union(head.woken), events=head.listening)
    claimed = None if want is None else await _claimed(store, want, head, rows)
    return Settling(results=ends.results(head.bad), claimed=claimed)


async def _claimed(store: Store, want: Claim, head: Head, rows: Sequence[Any]) -> Claimed:
    leases: tuple[Lease, ...] = ()
    if len(rows) > 1:
        del rows[0]  # type: ignore[attr-defined]
        names = await store.lane_names({row[0] for row in rows})
        assert head.fence is not None
        assert head.until is not None
        leases = _leases(rows, names, want.lease_id, head.fence, head.until)
        if (own := head.own) is not None:
            leases = tuple(
                msgspec.structs.replace(each, until=own.get(each.no, each.until)) for each in leases
            )
    return Claimed(leases=leases, now=head.now, next_due=head.next_due)


def _leases(
    rows: Sequence[Any],
    names: dict[int, tuple[str, str, str]],
    lease_id: str,
    fence: int,
    until: int,
) -> tuple[Lease, ...]:
    """Make leases of rows; a job whose queue was obliterated since is not held any more."""
    return tuple(
        [
            Lease(
                job_id,
                lease_id,
                fence,
                no,
                flags,
                (lane_names := names[lane])[0],
                lane_names[1],
                lane_names[2],
                payload,
                options,
                priority,
                attempts,
                max_crashes,
                failures,
                crashes,
                created_at,
                due_at,
                until,
                expires_at,
                group,
            )
            for (
                lane,
                job_id,
                no,
                flags,
                payload,
                options,
                priority,
                attempts,
                max_crashes,
                failures,
                crashes,
                created_at,
                due_at,
                expires_at,
                group,
            ) in rows
            if lane in names
        ]
    )
