"""The contract as a whole: its version, its limits, its terms, what holds for every method.

Terms. A *fence* is the number of a lease. *Now* is the time of the backend's clock. A job is *due*
from its `due_at` on. *Pending* is waiting, delayed or blocked; *finished* is completed, failed,
cancelled, stalled or dead. *Claim order* is by priority (higher first), then due, then insertion
number (smaller first); LIFO jobs go before the others of their priority, among themselves by due,
then number, greatest first. A lease, a time to live, a worker's word has *expired* from its instant
on; *older* than an age is more than it. Instants go from 0 to `MAX_INSTANT`; the core refuses
others.

For every method of `jobyard.backend.Backend`:

ALL-1 [1.0] An operation takes effect as a whole or not at all, whatever happens to its caller.
ALL-2 [1.0] With a `Clock` given, now is `clock.now_ms()`; without one it is the store's own time,
    the same for every handle whatever its host believes. If that time is set back, jobs and leases
    wait longer; no job is leased twice for it, and fences and insertion numbers still grow.
ALL-3 [1.0] Bytes come back as they were given: empty, all 256 values, of any length up to 1 MiB.
ALL-4 [1.0] What one handle was answered, every handle of the namespace sees from then on; handles
    of different namespaces in one store see nothing of each other.
ALL-5 [1.0] Many calls may be in flight on one handle, on one event loop; a caller that is
    cancelled leaves the handle usable.
ALL-6 [1.0] What the store could not do raises `BackendError`, with `transient` set if the same call
    may succeed later; such a call may be repeated with the same arguments.
ALL-7 [1.0] The cost of a claim does not grow with the jobs that it may not take.
ALL-8 [1.0] Nothing is acknowledged before it is as durable as the store promises: with `DURABLE`,
    it survives the kill of any process and a restart of the store.

A job may be held back. Its *parents* are the jobs that it depends on, it is their *child*. Its
*group* has places, and its *rate* has slots, for so many jobs of its queue. A dedup *key* that is
held keeps other jobs with it from being added. What holds back comes before what other clauses say:
a job that they make waiting is blocked, or delayed, until it may be.

GROUP-1 [1.0] A job of a group is waiting or active only with a place of the group, of which there
    are `limit`; without one it is blocked. A delayed job takes one when it is due.
GROUP-2 [1.0] It keeps its place until it has finished or is gone: over retries, snoozes, releases
    and crashes. So with one place the jobs of a group neither overlap nor overtake each other.
GROUP-3 [1.0] A place that comes free goes, in the same step, to the first blocked job of the group
    in claim order, which is due then.
GROUP-4 [1.0] The limit is that of the latest add to the group: a greater one lets blocked jobs on
    at once, a smaller one takes no place away.
GROUP-5 [1.0] When none of its jobs is unfinished nothing is left of a group, and `group_deleted` is
    told with its key as data.
RATE-1 [1.0] In any `per_ms`, at most `count` jobs of a queue with the same rate key are claimed,
    whoever claims, and however often each of them runs. Both are those of the latest add: they
    count for the slots that come free after it, and those that are new.
RATE-2 [1.0] A job that cannot be claimed yet for its rate is delayed until it can, or blocked
    behind those that are. No edit brings it forward; a claim goes by its `as_of`.
DEDUP-1 [1.0] A key is held in a queue by the job added with it until that job has finished or is
    gone; with `ttl_ms`, until that long after the add instead, whatever becomes of the job. A job
    that an edit lets run again holds its key again if no other has taken it.
DEDUP-2 [1.0] A job whose key is held is not added: it answers `DEDUPLICATED` with the holder's id
    and state, also within one call, and of any number of adds at once one is added.
DEDUP-3 [1.0] `EXTEND` and `REPLACE` with a `ttl_ms` let the key be held for that long from now.
DEDUP-4 [1.0] `REPLACE` gives a pending holder the payload, options, priority and due of the new
    job, as added now. Any other holder stays as it is: the new job is added and holds the key.
DEP-1 [1.0] A job is blocked until each parent has finished, stalled aside; then it is due at its
    own due, or now if that is past.
DEP-2 [1.0] A parent is a job that is there or comes before in the unit; else every job of the unit
    answers `NO_PARENT` and none is stored, other units being none the worse. One that was
    deduplicated stands for the holder of its key.
DEP-3 [1.0] A parent that ends failed, dead or cancelled, or goes unfinished or stalled, ends its
    child as failed (dead with `dead_letter`) with reason `DEPENDENCY`, and the child's children, in
    the same step, also if it had ended before the add. With `IGNORE` it counts as completed.
DEP-4 [1.0] What an unfinished job depends on is not removed by keep rules or `Retention`, but once
    that has finished.

A queue, and a name of jobs in it whatever their channels, may have a *limit* (`Limit`) and be
*held* (`HoldBack`), each by a control.

LIMIT-1 [1.0] A claim leaves no more than `concurrency` jobs of the queue, or of the name, active,
    counting all that are, also if it was set after they were claimed. What is over goes on waiting;
    a smaller limit takes no lease away.
LIMIT-2 [1.0] In any `per_ms` from when the rate was set, at most `count` jobs of the queue, or of
    the name, are claimed, whoever claims, and however often each of them runs. The same rate set
    again goes on counting, another one counts anew.
LIMIT-3 [1.0] Until now + `ms` the queue, or the name, gives nothing. Of several holds the last end
    counts, and `ms=0` ends them all.
LIMIT-4 [1.0] What is limited or held is passed over as if it did not wait; the jobs that may be
    given come in claim order. Limits and holds go by now, whatever the claim's `as_of`, and what
    is due is promoted all the same.
LIMIT-5 [1.0] With jobs left waiting that a claim's sources match but a hold or a rate keeps back,
    `next_due` is the earliest instant from which neither does, if no delayed job is due before.
LIMIT-6 [1.0] A limit replaces the one that the same queue or name had; one with neither concurrency
    nor rate lifts it, and leaves a hold. Limits and holds are those of all handles, survive what
    the store survives, and a `Drain`, go with `Obliterate`, and show in `QueueInfo.limits`. To set
    or lift one wakes listeners as `Resume` does.
"""

from __future__ import annotations

from enum import Flag, auto
from typing import Final

__all__ = ["CONTRACT", "DEFAULT_NAMESPACE", "MAX_INSTANT", "MAX_UNIT", "Capability"]

CONTRACT: Final = (1, 0)
"""The version of this contract; a backend states the one that it fulfils.

A newer minor version only adds: clauses, methods with a body, fields with a default, controls and
ends of a run that nobody is asked for who does not state it. What takes something back is major.
"""

DEFAULT_NAMESPACE: Final = "jobyard"

MAX_INSTANT: Final = 2**42 - 1
"""The last instant that every store can order, in the year 2109."""

MAX_UNIT: Final = 10_000
"""The most jobs that one unit may have."""


class Capability(Flag):
    """Qualities of a store; never a missing method."""

    NONE = 0
    SHARED = auto()
    """Several processes may open the same namespace at once."""
    DURABLE = auto()
    """What was acknowledged survives kills and restarts."""
    PUSH = auto()
    """`listen` wakes across handles without polling."""
    CALLER_TX = auto()
    """`add(within=…)` joins the caller's transaction."""
