"""What usually causes a failure, for the clauses where one cause is the likely one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["HINTS"]

HINTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ALL-3": "bytes pass through a text or JSON column, or through a script's JSON codec",
        "ALL-4": "a handle caches what another one changes, or a key lacks its namespace",
        "ALL-5": "one connection is used by two calls at once, or a cancelled call leaves its "
        "transaction open",
        "ALL-7": "the claim scans jobs it may not take: of other names, paused queues, not yet due",
        "ADD-1": "units are written one by one outside a transaction",
        "ADD-3": "the insert overwrites, or finished jobs are looked for in another place",
        "CLAIM-1": "jobs are selected and then marked in two steps, without a lock between them",
        "CLAIM-2": "sources are read one after the other instead of merged, or a tie is not "
        "broken by insertion number",
        "CLAIM-5": "promotion filters by name, has no bound, or sets the due anew",
        "CLAIM-6": "the fence is kept in the lease and dies with it",
        "CLAIM-8": "the claim does not look for jobs that its lease_id already holds",
        "SETTLE-1": "a settlement matches by job id or state, not by (job_id, lease_id)",
        "SETTLE-3": "which lease settled a job last is not remembered, or not forgotten at a claim",
        "SETTLE-9": "a release goes through the code of a retry, which sets the due anew",
        "SETTLE-12": "the claim runs before the settlements, or in a transaction of its own",
        "EXTEND-1": "an extend refuses a lease for having expired; only a reap ends it",
        "EXTEND-2": "an extend matches by job id alone",
        "EXTEND-4": "an extend matches by lease_id alone, which the whole claim shares",
        "REAP-1": "a reap counts a failure, or gives the job a new due or number",
        "REAP-5": "two reapers select the same expired leases before either moves them",
        "FIND-2": "pages are cut by offset, or by a value that changes",
        "SCHED-4": "the schedule is read and written in two steps, without comparing next_at",
        "SCHED-6": "the schedule is compared in one step and written in another, or not all of it "
        "is compared",
        "LIMIT-1": "active jobs are counted in one step and claimed in another, without a lock "
        "between them",
        "LIMIT-2": "starts are counted by the clock's seconds or as an average, not over every "
        "period, or in each handle for itself",
        "LIMIT-3": "a shorter hold replaces a longer one",
        "LIMIT-4": "what a limit leaves over of one name takes up the claim's own limit",
        "LIMIT-5": "next_due looks at delayed jobs alone, or at the limits before the claim",
        "LIMIT-6": "limits live in the handle that set them, or setting one forgets the hold",
        "EVENTS-3": "events are numbered before they are committed, so a reader passes one by",
        "EVENTS-6": "drained looks at the state after the step alone, not at the one before",
        "LISTEN-1": "the listener polls slowly, or the wake-up is sent only by one of the methods",
    }
)
