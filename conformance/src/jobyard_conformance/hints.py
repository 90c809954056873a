"""What usually causes a failure, for the clauses where one cause is the likely one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["HINTS"]

HINTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ALL-1": "an operation is several statements without a transaction, or is cut by a "
        "cancelled caller",
        "ALL-2": "a statement asks the store's clock although a clock was given, or the other way",
        "ALL-3": "bytes pass through a text or JSON column, or through a script's JSON codec",
        "ALL-4": "a handle caches what another one changes, or a key lacks its namespace",
        "ALL-5": "one connection is used by two calls at once, or a cancelled call leaves its "
        "transaction open",
        "ALL-6": "a driver's error is raised as it is, or a broken connection stays in the pool",
        "ALL-7": "the claim scans jobs it may not take: of other names, paused queues, not yet due",
        "ALL-8": "the answer goes out before the commit, or the store is set up to commit later",
        "GROUP-1": "places are counted before the claim and not in the same step, or a job made "
        "waiting by a retry, a reap or a promotion takes none",
        "GROUP-2": "the place is given back when the lease ends, not when the job does",
        "GROUP-3": "one way of ending a job (a settle, a reap, an edit, a sweep) does not let the "
        "next one on",
        "GROUP-4": "the limit is kept with each job, or a greater one waits for the next end",
        "GROUP-5": "the row of a group outlives its last job, or goes while blocked ones are left",
        "RATE-1": "starts are counted by fixed windows, by each claimer, or at the add",
        "RATE-2": "an edit makes a job waiting without asking its rate",
        "DEDUP-1": "one way of ending a job does not free its key, or frees one that another holds",
        "DEDUP-2": "the key is looked up in one step and taken in another, or not within one call",
        "DEDUP-3": "the time of a key counts from the first add",
        "DEDUP-4": "a replaced job keeps its place in the order, or an active one is changed",
        "DEP-1": "a child is let go when a parent is claimed or retried, or keeps the due of its "
        "add",
        "DEP-2": "parents are looked for after the unit is stored, or only within the call",
        "DEP-3": "one way of ending a parent (expiry, a crash loop, an edit, a sweep) does not "
        "reach its children, or goes one generation deep",
        "DEP-4": "retention does not look for children that have not finished",
        "LIMIT-1": "what is active is counted in one step and claimed in another",
        "LIMIT-2": "starts are counted by each claimer, or the same rate set again counts anew",
        "LIMIT-3": "a later, shorter hold replaces a longer one",
        "LIMIT-4": "the claim stops at the first job that is limited instead of passing it over",
        "LIMIT-5": "next_due looks at delayed jobs alone",
        "LIFE-2": "the driver's error is raised as it is, or shows the URL with its password",
        "LIFE-4": "a closed handle connects again, or raises the driver's error",
        "LIFE-5": "two migrations at once are not kept apart by a lock",
        "ADD-1": "units are written one by one outside a transaction",
        "ADD-2": "numbers come from a clock, or from a sequence that two adds draw from in turns",
        "ADD-3": "the insert overwrites, or finished jobs are looked for in another place",
        "ADD-5": "seconds are rounded where the contract has milliseconds",
        "ADD-9": "a caller's transaction is accepted and not joined",
        "CLAIM-1": "jobs are selected and then marked in two steps, without a lock between them",
        "CLAIM-2": "sources are read one after the other instead of merged, or a tie is not "
        "broken by insertion number",
        "CLAIM-3": "names and channels are filtered after the limit",
        "CLAIM-4": "a pause is read by the handle once and kept",
        "CLAIM-5": "promotion filters by name, has no bound, or sets the due anew",
        "CLAIM-6": "the fence is kept in the lease and dies with it",
        "CLAIM-8": "the claim does not look for jobs that its lease_id already holds",
        "CLAIM-9": "leases or times to live are counted from as_of",
        "CLAIM-10": "next_due counts paused queues, or is none where the promotion hit its bound",
        "CLAIM-11": "a time to live is looked at by the reaper alone",
        "PEEK-1": "peek orders by another index than the claim, or promotes",
        "SETTLE-1": "a settlement matches by job id or state, not by (job_id, lease_id)",
        "SETTLE-2": "a settlement compares the lease's end with now; only a reap ends it",
        "SETTLE-3": "which lease settled a job last is not remembered, or not forgotten at a claim",
        "SETTLE-4": "a job that is gone and one held by another look the same",
        "SETTLE-6": "the delay counts from the claim, or a delay of 0 makes the job delayed",
        "SETTLE-7": "every reason counts as a failure",
        "SETTLE-9": "a release goes through the code of a retry, which sets the due anew",
        "SETTLE-11": "the count is over all states, or takes the newest",
        "SETTLE-12": "the claim runs before the settlements, or in a transaction of its own",
        "SETTLE-13": "one lost settlement rolls the whole call back",
        "EXTEND-1": "an extend refuses a lease for having expired; only a reap ends it",
        "EXTEND-2": "an extend matches by job id alone",
        "EXTEND-3": "the asking is kept in the lease and dies with it",
        "EXTEND-4": "an extend matches by lease_id alone, which the whole claim shares",
        "REPORT-1": "a note matches by job id alone",
        "REPORT-3": "lines are ordered by a clock, or trimmed before they are all written",
        "REAP-1": "a reap counts a failure, or gives the job a new due or number",
        "REAP-2": "crashes are compared before they are counted",
        "REAP-4": "only active jobs expire, or an expiry counts as a crash",
        "REAP-5": "two reapers select the same expired leases before either moves them",
        "REAP-6": "a job to be cancelled goes back to waiting",
        "FIND-1": "filters are applied after the page was cut, and an empty page ends it",
        "FIND-2": "pages are cut by offset, or by a value that changes",
        "QUEUES-1": "counts are kept beside the jobs, and one of the moves forgets them",
        "METRICS-1": "a repeated call counts twice, or totals are counted from the records",
        "CHANGE-7": "a revived job keeps its result, its crashes or its expiry",
        "CHANGE-8": "blocked jobs are forgotten, or an active one is cancelled at once",
        "CHANGE-10": "a lease ended by a move still settles",
        "CONTROL-2": "a pause is kept by the handle, or lost when the queue is empty",
        "SWEEP-1": "a step says that no more is left when it has just hit its limit",
        "SWEEP-2": "a drain takes delayed jobs without being told to, or leaves blocked ones",
        "SWEEP-4": "an obliteration broken off leaves the queue closed or half known",
        "SWEEP-5": "a keep rule of a job is not looked at, or stalled jobs are taken",
        "SCHED-4": "the schedule is read and written in two steps, without comparing next_at",
        "SCHED-5": "the jobs are added in another step than the schedule moves on",
        "WORKER-1": "a worker is told from another by host and process, or its end is not seen",
        "EVENTS-2": "events are appended after the step, or while nobody is subscribed",
        "EVENTS-3": "events are numbered before they are committed, so a reader passes one by",
        "EVENTS-4": "a cursor older than the log reads on as if nothing was missing",
        "EVENTS-6": "drained looks at the state after the step alone, not at the one before",
        "LISTEN-1": "the listener polls slowly, or the wake-up is sent only by one of the methods",
    }
)
