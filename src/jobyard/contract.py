"""The contract as a whole: its version, its limits, its terms, what holds for every method.

Terms. A *fence* is the number of a lease. *Now* is the time of the backend's clock. A job is *due*
from its `due_at` on. *Pending* is waiting, delayed or blocked; *finished* is completed, failed,
cancelled, stalled or dead. *Claim order* is by priority (higher first), then due, then insertion
number (smaller first); LIFO jobs go before the others of their priority, among themselves by due,
then number, greatest first. A lease, a time to live, a worker's word has *expired* from its instant
on; *older* than an age is more than it. Instants go from 0 to `MAX_INSTANT`; the core refuses
others.

For every method of `jobyard.backend.Backend`:

ALL-1 [0.1] An operation takes effect as a whole or not at all, whatever happens to its caller.
ALL-2 [0.1] With a `Clock` given, now is `clock.now_ms()`; without one it is the store's own time,
    the same for every handle whatever its host believes. If that time is set back, jobs and leases
    wait longer; no job is leased twice for it, and fences and insertion numbers still grow.
ALL-3 [0.1] Bytes come back as they were given: empty, all 256 values, of any length up to 1 MiB.
ALL-4 [0.1] What one handle was answered, every handle of the namespace sees from then on; handles
    of different namespaces in one store see nothing of each other.
ALL-5 [0.1] Many calls may be in flight on one handle, on one event loop; a caller that is
    cancelled leaves the handle usable.
ALL-6 [0.1] What the store could not do raises `BackendError`, with `transient` set if the same call
    may succeed later; such a call may be repeated with the same arguments.
ALL-7 [0.1] The cost of a claim does not grow with the jobs that it may not take.
ALL-8 [0.1] Nothing is acknowledged before it is as durable as the store promises: with `DURABLE`,
    it survives the kill of any process and a restart of the store.
"""

from __future__ import annotations

from enum import Flag, auto
from typing import Final

__all__ = ["CONTRACT", "DEFAULT_NAMESPACE", "MAX_INSTANT", "MAX_UNIT", "Capability"]

CONTRACT: Final = (0, 1)
"""The version of this contract; a backend states the one that it fulfils."""

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
