"""The contract: what a store must do to be a backend of jobyard.

The core decides (validation, encoding, backoff, retries, cron arithmetic); a backend makes each
decision an atomic effect. Every normative sentence is a clause with an id and, in brackets, the
contract version that brought it; `jobyard_conformance` has a test for each, and what it does not
check is not promised. The terms, and what holds for every method, stand in `jobyard.contract`.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

from jobyard.clock import Clock
from jobyard.contract import CONTRACT, DEFAULT_NAMESPACE, Capability
from jobyard.edits import Change, Changed, Control, Sweep, Swept
from jobyard.errors import Unsupported
from jobyard.events import EventPage, Notice
from jobyard.health import Finding, Health
from jobyard.job import Added, JobRecord, Unit
from jobyard.lease import Claim, Claimed, Hold, Lease, Note, Reaped, Settlement, Settling
from jobyard.metrics import Metrics
from jobyard.presence import WorkerInfo
from jobyard.query import JobQuery, Page, QueueInfo
from jobyard.schedule import ScheduleRecord
from jobyard.url import BackendUrl

__all__ = ["CONTRACT", "DEFAULT_NAMESPACE", "Backend", "Capability"]


class Backend(ABC):
    """One handle on one namespace of a store; making one does no I/O, `open` connects.

    Its arguments are the same for every backend, so that a URL alone can choose it.
    """

    contract: ClassVar[tuple[int, int]]
    capabilities: ClassVar[Capability]
    claims_by_halves: ClassVar[bool] = False
    """Whether a worker with many slots claims for one half while it runs the other: speed alone."""

    def __init__(
        self, url: BackendUrl, *, namespace: str = DEFAULT_NAMESPACE, clock: Clock | None = None
    ) -> None:
        """Take the place to connect to; raise `InvalidUrl` for an option that is not known."""
        self.url = url
        self.namespace = namespace
        self.clock = clock

    # -- life ---------------------------------------------------------------------------------
    @abstractmethod
    async def open(self) -> None:
        """Connect.

        LIFE-1 [1.0] An opened handle works in the event loop that opened it.
        LIFE-2 [1.0] A store that cannot be reached raises `BackendUnavailable`, whose text shows no
            password.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections, threads and files.

        LIFE-3 [1.0] Closing twice is as good as once, and a handle never opened can be closed.
        LIFE-4 [1.0] A closed handle raises `BackendClosed` from every operation.
        """

    @abstractmethod
    async def prepare(self) -> None:
        """Create the namespace, or bring it up to date.

        LIFE-5 [1.0] Any number of handles may prepare the same namespace at once: all succeed and
            there is one namespace, with what it held before.
        """

    @abstractmethod
    async def is_prepared(self) -> bool:
        """Tell whether the namespace exists and is up to date, changing nothing.

        LIFE-6 [1.0] It is false before the first `prepare` and true after it. A namespace made by a
            newer version raises `StorageTooNew`.
        """

    @abstractmethod
    async def ping(self) -> Health:
        """Make a round trip.

        LIFE-7 [1.0] It answers with product, version and now.
        """

    async def inspect(self) -> Sequence[Finding]:
        """Tell what the store really promises as it is set up now."""
        return ()

    def schema_sql(self, *, schema: str | None = None) -> str:  # noqa: ARG002
        """Write the SQL that does what `prepare` does, without I/O; else raise `Unsupported`."""
        raise Unsupported(f"{self.url.scheme}:// has no tables to make: there is no SQL for it")

    # -- producing ----------------------------------------------------------------------------
    @abstractmethod
    async def add(
        self, units: Sequence[Unit], *, within: object | None = None
    ) -> Sequence[tuple[Added, ...]]:
        """Store units of jobs, in one round trip; `within` is a transaction of the caller's.

        ADD-1 [1.0] Each unit is stored as a whole or not at all; the answers are in the order
            asked, for each job of each unit one.
        ADD-2 [1.0] Jobs get insertion numbers that grow in the order given.
        ADD-3 [1.0] A job whose id exists answers `EXISTS` with its state and changes nothing, also
            within one call, also after the job has finished and while its record is kept.
        ADD-4 [1.0] A job with neither delay nor a `run_at` in the future is waiting, due now.
        ADD-5 [1.0] A job with a delay, or a `run_at` in the future, is delayed and due then, to the
            millisecond.
        ADD-6 [1.0] The fields of the spec come back in the job's record.
        ADD-7 [1.0] Adding makes the queue known; an add answered `EXISTS` does not.
        ADD-8 [1.0] What a spec asks for by `group`, `dedup`, `depends_on` and `rate` is honoured.
        ADD-9 [1.0] With `within` the jobs are part of that transaction: others see them once it has
            committed, rolled back it leaves nothing of them, and an error of the call leaves it as
            it was. What is no transaction of the store's raises `Unsupported`.
        """

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """Begin a transaction for `within`; its value is the connection, an error undoes it."""
        raise Unsupported(f"{type(self).__name__} has no transactions to add within")

    # -- working ------------------------------------------------------------------------------
    @abstractmethod
    async def claim(self, want: Claim) -> Claimed:
        """Lease due jobs to a worker, in one round trip.

        CLAIM-1 [1.0] A job is never leased to two holders at once.
        CLAIM-2 [1.0] Jobs come in claim order over all sources together, exactly so while nothing
            else is in flight on them: a claim passes over what another call holds at that moment. A
            source that has given its `limit` gives no more, and no more than the claim's `limit` or
            `MAX_BATCH` are given.
        CLAIM-3 [1.0] Only jobs of a source's queue, names and channels are given.
        CLAIM-4 [1.0] A queue that is paused gives nothing.
        CLAIM-5 [1.0] First, of each source's queue that is not paused, the `MAX_PROMOTED` earliest
            due delayed jobs (by due, then number), or all if they are fewer, become waiting,
            whatever their name; they keep their due.
        CLAIM-6 [1.0] Each claim gives a job a fence greater than all before it.
        CLAIM-7 [1.0] The lease carries the job's fields, the counts of failures and crashes so far,
            and lasts until now + `ttl_ms`.
        CLAIM-8 [1.0] A claim repeated with its `lease_id` gives the jobs of the first call that are
            still held, and no others; one that gave nothing, or of which none is held any more, may
            give jobs. A repeat promotes nothing and prolongs no lease.
        CLAIM-9 [1.0] With an `as_of` later than now, jobs due by that instant are promoted and
            given too; what was promoted and not given stays waiting. Waiting jobs are given
            whatever their due. An earlier `as_of` is as none. Leases and times to live run by now.
        CLAIM-10 [1.0] `next_due` is the due of the earliest delayed job left in the queues of the
            sources, paused ones left out; it is now or earlier if the claim gave less than its
            limits allow while jobs that it could give may be left, so that it is repeated at once.
        CLAIM-11 [1.0] A job past its time to live is never given. A claim may end those that it
            meets as `reap` would (REAP-4), and then give less than its limits allow (CLAIM-10).
        CLAIM-12 [1.0] A claim with limit 0, or without sources, gives nothing and changes nothing.
        """

    @abstractmethod
    async def peek(self, want: Claim) -> Sequence[JobRecord]:
        """Show what `claim` would give.

        PEEK-1 [1.0] It shows the jobs that the same claim gives next, in order, and changes
            nothing.
        """

    @abstractmethod
    async def settle(
        self, settlements: Sequence[Settlement], *, claim: Claim | None = None
    ) -> Settling:
        """End runs, and claim the next jobs in the same round trip.

        SETTLE-1 [1.0] A settlement is accepted only from the lease that holds the job now: of
            another it answers `LOST` and changes nothing.
        SETTLE-2 [1.0] A lease that expired but was not reaped still settles.
        SETTLE-3 [1.0] A settlement repeated by the lease that made it answers `ALREADY` and changes
            nothing, with another outcome too, until the job is claimed again or its record is
            removed.
        SETTLE-4 [1.0] A settlement of a job whose id there is not answers `GONE`, also to the lease
            that settled it; if the id was added again, `LOST`.
        SETTLE-5 [1.0] `Done`: the job is completed with its result. An earlier failure's error
            stays.
        SETTLE-6 [1.0] `Retried`: failures + 1; the job is delayed by `delay_ms` from now, or
            waiting, due now, when that is 0; its error is kept.
        SETTLE-7 [1.0] `Failed`: failures + 1 if the reason is `EXHAUSTED` or `REFUSED`; the job is
            failed, or dead with `dead_letter`, with reason and error.
        SETTLE-8 [1.0] `Snoozed`: as `Retried`, but failures stay.
        SETTLE-9 [1.0] `Released`: the job waits with the due and number it had, and all its counts.
        SETTLE-10 [1.0] `Cancelled`: the job is cancelled. `Stalled`: failures + 1, the job is
            stalled with its error.
        SETTLE-11 [1.0] A job that finishes with `keep_completed` (for completed) or `keep_failed`
            (for failed, dead, cancelled) of `count=0` leaves no record, others staying. A greater
            count lets the settle also remove the oldest of its queue in that state beyond that
            many, by finish, then number, at most `MAX_BATCH` a call; what settles in flight
            together leave over, retention removes.
        SETTLE-12 [1.0] The settlements come before the claim: what they made waiting can be claimed
            by it.
        SETTLE-13 [1.0] Each settlement of a call stands on its own: a lost one hinders no other.
        """

    @abstractmethod
    async def extend(self, leases: Sequence[Lease], *, ttl_ms: int) -> Sequence[Hold]:
        """Make leases last until now + `ttl_ms`.

        EXTEND-1 [1.0] A lease that holds its job answers `HELD` and lasts until the later of then
            and before, also when it had expired and was not reaped.
        EXTEND-2 [1.0] One that does not answers `LOST`, and changes nothing.
        EXTEND-3 [1.0] One whose cancellation was asked for is extended and answers `CANCELLED`. The
            asking lasts until the job ends or is revived, over later leases too.
        EXTEND-4 [1.0] Jobs of the same claim that are not listed are not extended.
        """

    @abstractmethod
    async def report(self, notes: Sequence[Note]) -> Sequence[Hold]:
        """Write progress and log lines of runs.

        REPORT-1 [1.0] A note of a lease that does not hold its job answers `LOST` and is not
            written.
        REPORT-2 [1.0] The latest progress is in the job's record and stays after its end.
        REPORT-3 [1.0] Log lines come back in the order written, the latest `keep` of them.
        """

    @abstractmethod
    async def reap(self, *, limit: int) -> Sequence[Reaped]:
        """Take back expired leases and end jobs past their time to live, at most `limit`.

        REAP-1 [1.0] A job whose lease has expired is waiting with the due and number it had,
            crashes + 1, failures unchanged; its lease holds nothing any more.
        REAP-2 [1.0] With crashes at `max_crashes` it ends failed instead (dead with `dead_letter`),
            with reason `CRASH_LOOP`.
        REAP-3 [1.0] A lease that has not expired, of a job within its time to live, is left alone.
        REAP-4 [1.0] A pending or active job past its time to live ends failed (dead with
            `dead_letter`) with reason `EXPIRED`, before its lease is looked at and counting no
            crash; a finished one stays as it is.
        REAP-5 [1.0] Each job moved is answered once, to one caller, however many reap at once.
        REAP-6 [1.0] A job whose cancellation was asked for ends cancelled when its lease expires.
        """

    # -- looking ------------------------------------------------------------------------------
    @abstractmethod
    async def get(self, job_ids: Sequence[str]) -> Sequence[JobRecord | None]:
        """Show jobs by id.

        GET-1 [1.0] The answers are in the order asked, `None` for an id that there is not.
        GET-2 [1.0] A record shows its job's state, counts, instants, result, error and reason.
        """

    @abstractmethod
    async def find(self, query: JobQuery) -> Page[JobRecord]:
        """List jobs.

        FIND-1 [1.0] A page has jobs that pass every filter, in insertion order or against it, at
            most `limit`; it may have fewer, even none, while `next` leads on.
        FIND-2 [1.0] Following `next` shows every job that passed throughout exactly once, whatever
            is added, moved or removed meanwhile.
        """

    @abstractmethod
    async def logs(self, job_id: str, *, after: int = 0, limit: int = 1_000) -> Page[str]:
        """Show the lines of a job's log, oldest first.

        LOGS-1 [1.0] `after` skips that many lines of those kept, and `next`, if there are more, is
            the `after` that goes on; a job without lines has an empty page.
        """

    @abstractmethod
    async def queues(self, names: Sequence[str] | None = None) -> Sequence[QueueInfo]:
        """Show queues, sorted by name; `None` shows all that are known.

        QUEUES-1 [1.0] The counts are those of the jobs there are, from any handle.
        QUEUES-2 [1.0] A name asked for that is not known is left out.
        """

    @abstractmethod
    async def metrics(self, queue: str, *, since: int, until: int) -> Metrics:
        """Tell what happened in a queue.

        METRICS-1 [1.0] The total counts each transition once since the queue was made, over every
            handle, and does not shrink when jobs are removed. `peak` is the most jobs of the queue
            that a claim found active, its own included; claims in flight together need not see each
            other.
        METRICS-2 [1.0] The minutes from `since` (inclusive) to `until` (exclusive) count the same
            by the minute, for at least the last hour; minutes without events may be missing.
        """

    # -- changing -----------------------------------------------------------------------------
    @abstractmethod
    async def change(self, job_ids: Sequence[str], change: Change) -> Sequence[Changed]:
        """Apply one change to each of some jobs.

        CHANGE-1 [1.0] The answers are in the order asked: `NOT_FOUND` for an id that there is not,
            `WRONG_STATE` with the state for a job that the change does not fit, which stays as it
            is.
        CHANGE-2 [1.0] `RunNow` makes a delayed job waiting, due now.
        CHANGE-3 [1.0] `Reschedule` makes a waiting or delayed job delayed until then, or waiting,
            due now, if that is not in the future.
        CHANGE-4 [1.0] `SetPriority` moves a pending job in the claim order.
        CHANGE-5 [1.0] `SetPayload` is seen by the next claim; an active job's run keeps what it
            has.
        CHANGE-6 [1.0] `SetProgress` writes the progress of an active job.
        CHANGE-7 [1.0] `Revive` makes a failed, cancelled, stalled or dead job waiting, due now,
            crashes 0; with `reset` failures are 0, else at most `attempts` - 1; result, error,
            reason and finish are gone, and its time to live starts anew.
        CHANGE-8 [1.0] `Cancel` makes a pending job cancelled; with `running` an active one answers
            `ASKED`, without it `WRONG_STATE`.
        CHANGE-9 [1.0] `Remove` leaves no trace of a job that is not active.
        CHANGE-10 [1.0] `Move` does what its docstring says; a lease it ends is `LOST` afterwards.
            To failed the reason is `ADMIN`; to waiting the counts stay, and from a finished state
            the rest is as with `Revive`.
        """

    @abstractmethod
    async def control(self, queue: str, control: Control) -> None:
        """Apply a control to a queue, making it known if it is not.

        CONTROL-1 [1.0] A paused queue takes adds and lets running jobs settle.
        CONTROL-2 [1.0] A pause holds for every handle from then on, and survives what the store
            survives, until resumed; pausing twice is pausing once.
        CONTROL-3 [1.0] A limit and a hold bind the claims from then on, also of a queue that they
            make known.
        """

    @abstractmethod
    async def sweep(self, sweep: Sweep, *, limit: int = 1_000) -> Swept:
        """Remove jobs in one bounded step; the caller repeats while `more`.

        SWEEP-1 [1.0] A step removes at most `limit` jobs; steps repeated while `more` remove all.
        SWEEP-2 [1.0] `Drain` removes what is waiting, of every priority, and with `delayed` what is
            delayed; active and finished jobs stay.
        SWEEP-3 [1.0] `Clean` removes finished jobs in the given states older than the given age.
        SWEEP-4 [1.0] `Obliterate` raises `QueueNotEmpty` and changes nothing if a job is active at
            its first step, unless forced. From that step until the last the queue gives nothing,
            jobs added meanwhile may go with it, and a sweep broken off is taken up by calling it
            again. In the end the queue is not known, its totals are 0 and its leases hold nothing.
        SWEEP-5 [1.0] `Retention` removes completed jobs older than `completed_ms`, other finished
            ones (not stalled) older than `others_ms`, the oldest beyond `count` a queue, and by
            `keep_completed` and `keep_failed` where a job has one instead of the ages.
        """

    # -- schedules ----------------------------------------------------------------------------
    @abstractmethod
    async def put_schedules(self, schedules: Sequence[ScheduleRecord]) -> None:
        """Store schedules, each replacing the one of its key.

        SCHED-1 [1.0] All fields come back as put.
        """

    @abstractmethod
    async def swap_schedule(
        self, key: str, *, old: ScheduleRecord | None, new: ScheduleRecord | None
    ) -> bool:
        """Put one schedule in the place of another, or of none; with `new` as `None` forget it.

        SCHED-6 [1.0] It happens only if what is stored for the key equals `old` (`None`: nothing
            is), and the answer tells whether it did: of callers with the same `old`, one.
        """

    @abstractmethod
    async def drop_schedules(self, keys: Sequence[str]) -> int:
        """Forget schedules.

        SCHED-2 [1.0] It answers how many there were.
        """

    @abstractmethod
    async def schedules(
        self, *, due: bool = False, after: str | None = None, limit: int = 100
    ) -> Page[ScheduleRecord]:
        """List schedules by key.

        SCHED-3 [1.0] With `due`, only those not paused whose `next_at` has come.
        """

    @abstractmethod
    async def fire(
        self, key: str, *, expected: int, next_at: int | None, jobs: Unit
    ) -> tuple[Added, ...] | None:
        """Add the jobs of one tick and move the schedule on.

        SCHED-4 [1.0] It happens only if the schedule is not paused and its `next_at` is `expected`:
            of any number of callers one is answered, the others get `None` and change nothing.
        SCHED-5 [1.0] `next_at` moves on, `last_at` becomes `expected`, `fired` grows by one, and
            the jobs are added, in one step.
        """

    # -- workers and signals ------------------------------------------------------------------
    @abstractmethod
    async def beat(self, worker: WorkerInfo, *, ttl_ms: int) -> None:
        """Tell that a worker lives.

        WORKER-1 [1.0] It is listed until now + `ttl_ms` unless it beats again, or beats as stopped.
        WORKER-2 [1.0] The store sets `started_at` at the first beat and `seen_at` at each.
        """

    @abstractmethod
    async def workers(self) -> Sequence[WorkerInfo]:
        """List the workers that live, by id."""

    @abstractmethod
    async def subscribe(self, subscription: str, *, ttl_ms: int) -> str:
        """Ask for events to be logged until now + `ttl_ms`; again, to go on; 0 ends it.

        EVENTS-1 [1.0] The answer is the cursor after the latest event.
        EVENTS-2 [1.0] While any subscription lives every transition of an operation begun after
            `subscribe` answered appends its event in the same atomic step; else none need to.
        """

    @abstractmethod
    async def events(self, *, after: str, limit: int = 1_000) -> EventPage:
        """Read the log after a cursor.

        EVENTS-3 [1.0] Events come in an order that fits every job's transitions, each once, and
            none is ever passed over by a reader that follows the cursor. An event may show later
            than its transition while another transaction of the store is open.
        EVENTS-4 [1.0] The log keeps at least the latest 10,000 events while they are subscribed to;
            a cursor older than what is kept reads on with `gap`, and so does one from before a time
            in which no subscription lived. A cursor answered since then does not.
        EVENTS-5 [1.0] The kinds are: `added` for each job that an add created, `deduplicated` for
            each that it did not for its key; `active` for each claimed; `completed`, `cancelled`,
            `released`, `snoozed` and `stalled` for these outcomes; `attempt_failed` for `Retried`;
            `attempt_failed` (if a failure was counted) and `failed` for `Failed`; `stalled` for
            each lease reaped, and `failed` or `cancelled` too where that ends the job, `failed` for
            one expired; `progress`; `revived`; `cancelled` for `Cancel`; for `Move` `completed`,
            `failed`, `stalled`, and `released` (from active) or `revived`; `removed` for `Remove`,
            `Drain`, `Clean` and `Obliterate`; `deleted` for `Retention`; `paused`, `resumed`;
            `scheduled` after what was added.
        EVENTS-6 [1.0] `drained` follows, once, when a step leaves a queue with nothing waiting,
            nothing delayed that is due and nothing active, and one of these there was before it. A
            step is a whole call; an add in flight may be told before or after it.
        EVENTS-7 [1.0] A worker's first beat appends `worker_started`, each other `heartbeat`, its
            first as stopping `worker_stopping`, as stopped `worker_stopped`. One that expired or
            stopped starts anew; stopping twice tells nothing.
        EVENTS-8 [1.0] An event carries its queue, job id, job name, time and data; one of a run its
            worker and attempt, at its end its run time.
        """

    def listen(
        self, wake: Callable[[Notice], None], *, queues: Sequence[str] = (), events: bool = False
    ) -> AbstractAsyncContextManager[None]:
        """While entered, call `wake` in the event loop when work or events may have come.

        LISTEN-1 [1.0] A notice is a hint: it may be lost, doubled or made up, and nothing else
            depends on it. With `PUSH`, a job added, made due or released by another handle, or a
            queue resumed, wakes a listener that named that queue within 100 ms, and an event
            appended wakes one of events.
        """
        del wake, queues, events
        return contextlib.nullcontext()
