"""A job as an app sees it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from jobyard import codec
from jobyard.durations import Duration, from_ms
from jobyard.errors import WrongState
from jobyard.failure import JobError, unpack_error
from jobyard.job import Added, AddOutcome, Group, JobRecord, JobSpec, JobState, Reason
from jobyard.lease import Lease
from jobyard.options import RunOptions, unpack

if TYPE_CHECKING:
    from jobyard.run import CancelToken, Run
    from jobyard.service.acting import Acting

__all__ = ["Job"]


class Job:
    """A job: what it was when it was added, listed or handed to its handler.

    It does not change by itself; `refresh` gets a new one. In a handler it also offers what
    belongs to the run: `update_progress`, `log`, `mark_failed`, `cancel_token`, `check_lease`.
    """

    __slots__ = ("_actions", "_data", "_facts", "_run", "id", "name", "outcome", "queue", "state")

    def __init__(
        self,
        facts: JobSpec | JobRecord | Lease,
        actions: Acting,
        *,
        state: JobState,
        run: Run | None = None,
        added: Added | None = None,
    ) -> None:
        """Wrap what is known of a job; apps get jobs from the service."""
        self.id = facts.job_id if type(facts) is Lease else facts.id  # type: ignore[union-attr]
        self.queue = facts.queue
        self.name = facts.name
        self.state = state
        self.outcome = None
        if added is not None:
            self.id = added.job_id
            self.outcome = added.outcome
        self._facts = facts
        self._actions = actions
        self._run = run
        self._data: Any = _UNREAD

    @property
    def data(self) -> Any:
        """The payload; raises `PayloadDecodeError` if the stored bytes cannot be decoded."""
        if self._data is _UNREAD:
            self._data = self._actions.payloads.decode(self._facts)
        return self._data

    def portable_payload(self) -> tuple[str, bytes]:
        """The payload's codec and bytes, in a codec that every process knows."""
        return self._actions.payloads.portable(self._facts)

    @property
    def resources(self) -> Mapping[str, Any]:
        """What the service's workers share: `service.resources`."""
        return self._actions.resources

    @property
    def packed_options(self) -> bytes:
        """The options as the store keeps them."""
        return self._facts.options

    @property
    def packed_payload(self) -> bytes:
        """The payload as the store keeps it."""
        return self._facts.payload

    @property
    def is_duplicate(self) -> bool:
        """Whether the add that gave this job found one that was there already."""
        return self.outcome is not None and self.outcome is not AddOutcome.CREATED

    @property
    def priority(self) -> int:
        """The priority, higher first."""
        return self._facts.priority

    @property
    def channel(self) -> str | None:
        """The channel, `None` without one."""
        return self._facts.channel or None

    @property
    def group(self) -> str | None:
        """The key of the group, `None` without one."""
        group: Group | str | None = self._known("group", None)
        return group.key if isinstance(group, Group) else group

    @property
    def attempts(self) -> int:
        """How many runs may fail before the job does."""
        return self._facts.attempts

    @property
    def failures(self) -> int:
        """How many runs have failed."""
        return self._count("failures")

    @property
    def crashes(self) -> int:
        """How often its worker died over it."""
        return self._count("crashes")

    @property
    def attempt(self) -> int:
        """The number of this run among those that count, from 1: failures + 1."""
        return self.failures + 1

    @property
    def fence(self) -> int:
        """The number of the lease, greater for each run: a token for external writes."""
        return self._count("fence")

    @property
    def progress(self) -> Any:
        """The latest progress written, `None` without any."""
        packed: bytes | None = self._known("progress", None)
        return None if packed is None else codec.decode(packed, what="the progress")

    @property
    def result(self) -> Any:
        """What the handler returned, `None` before; `wait` waits for it."""
        packed: bytes | None = self._known("result", None)
        return None if packed is None else codec.decode(packed, what="the result")

    @property
    def error(self) -> JobError | None:
        """The latest failure."""
        return unpack_error(self._known("error", None))

    @property
    def reason(self) -> Reason | None:
        """Why the job ended, unless it completed."""
        reason: Reason | None = self._known("reason", None)
        return reason

    @property
    def worker(self) -> str | None:
        """The worker that holds or held its latest lease."""
        worker: str | None = self._known("worker", None)
        return worker

    @property
    def created_at(self) -> datetime | None:
        """When it was added; `None` on the answer of an add, until refreshed."""
        return from_ms(self._known("created_at", None))

    @property
    def due_at(self) -> datetime | None:
        """When it is or was due."""
        return from_ms(self._known("due_at", None))

    @property
    def started_at(self) -> datetime | None:
        """When it was last handed to a worker."""
        return from_ms(self._known("started_at", None))

    @property
    def finished_at(self) -> datetime | None:
        """When it ended."""
        return from_ms(self._known("finished_at", None))

    @property
    def expires_at(self) -> datetime | None:
        """When its time to live runs out."""
        return from_ms(self._known("expires_at", None))

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that it was added with."""
        # Shared by the jobs whose options are the same, and so not to be written to.
        return MappingProxyType(self._run_options.headers)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that it was added with."""
        return self._run_options.tags

    @property
    def stack_limit(self) -> int:
        """How many frames of a traceback are stored with a failure."""
        return self._run_options.stack_limit

    @property
    def _run_options(self) -> RunOptions:
        return unpack(self._facts.options)

    def _count(self, field: str) -> int:
        count: int = self._known(field, 0)
        return count

    def _known(self, field: str, default: Any) -> Any:
        return getattr(self._facts, field, default)

    # -- of a run -----------------------------------------------------------------------------

    @property
    def cancel_token(self) -> CancelToken:
        """Set when the run should end early."""
        return self._running("cancel_token").token

    def mark_failed(self, reason: str = "the handler marked the job as failed") -> None:
        """Count this run as failed when the handler returns, without an exception."""
        self._running("mark_failed").marked = reason

    async def log(self, line: str) -> None:
        """Add a line to the job's log; raises `LeaseLost` for a run that lost its job."""
        await self._running("log").log(line)

    async def check_lease(self) -> None:
        """Raise `LeaseLost` if the job is another worker's by now: before an external write."""
        await self._running("check_lease").check()

    async def update_progress(self, progress: object) -> None:
        """Write the progress: any JSON value. In a run, raises `LeaseLost` if it lost its job."""
        if self._run is not None:
            await self._run.progress(progress)
        else:
            await self._actions.update_job_progress(self.id, progress)

    def _running(self, what: str) -> Run:
        if self._run is None:
            msg = f"{what} belongs to the run of a job: it is there in a handler"
            raise WrongState(msg)
        return self._run

    async def parents(self) -> list[Job]:
        """Get the jobs that this one depends on, in the order given, those that are there."""
        return await self._actions.parents_of(self.id)

    async def parent_results(self) -> dict[str, Any]:
        """Get the results of the jobs that this one depends on, by id, of those that completed."""
        return {
            parent.id: parent.result
            for parent in await self.parents()
            if parent.state is JobState.COMPLETED
        }

    # -- from outside -------------------------------------------------------------------------

    async def refresh(self) -> Job:
        """Get the job as it is now; raises `JobNotFound`."""
        return await self._actions.get_job(self.id)

    async def wait(self, timeout: Duration | None = None) -> Any:
        """Wait for the job's end and return its result.

        Raises `JobFailed` if it ends otherwise, `TimeoutError` after `timeout` seconds,
        `JobNotFound` when its record is gone.
        """
        return await self._actions.wait_for(self.id, timeout=timeout)

    async def logs(self, *, after: int = 0, limit: int = 1_000) -> list[str]:
        """Read the lines of its log, oldest first."""
        return await self._actions.job_logs(self.id, after=after, limit=limit)

    async def promote(self) -> None:
        """Run a delayed job now."""
        await self._actions.promote_job(self.id)

    async def reschedule(
        self, delay: Duration | None = None, *, run_at: datetime | None = None
    ) -> None:
        """Move a waiting or delayed job to `delay` seconds from now, or to an instant."""
        await self._actions.reschedule_job(self.id, delay, run_at=run_at)

    async def change_priority(self, priority: int | str) -> None:
        """Move a job that has not started in the order."""
        await self._actions.change_priority(self.id, priority)

    async def update_data(self, data: object) -> None:
        """Replace the payload that the next run sees."""
        await self._actions.update_job_data(self.id, data)

    async def retry(self, *, reset_attempts: bool = False) -> None:
        """Let a job that failed run again."""
        await self._actions.retry_job(self.id, reset_attempts=reset_attempts)

    async def cancel(self, *, running: bool = False) -> bool:
        """End a job that has not started; with `running`, ask a started one to stop."""
        return await self._actions.cancel_job(self.id, running=running)

    async def remove(self) -> None:
        """Delete the job's record; raises `JobActive` while it runs."""
        await self._actions.remove_job(self.id)

    def __repr__(self) -> str:
        """Show id, place and state, never the payload."""
        return f"<Job {self.id} {self.queue}/{self.name or '(unnamed)'} {self.state}>"


_UNREAD = object()
