"""What an app does with one job: look at it, wait for it, edit it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, assert_never

from jobyard import codec
from jobyard.durations import Duration, instant_ms, to_ms
from jobyard.edits import (
    Cancel,
    Change,
    Changed,
    ChangeOutcome,
    Move,
    Remove,
    Reschedule,
    Revive,
    RunNow,
    SetPayload,
    SetPriority,
    SetProgress,
)
from jobyard.errors import (
    BackendError,
    InvalidOption,
    InvalidTransition,
    JobActive,
    JobFailed,
    JobNotFound,
)
from jobyard.failure import JobError, pack_error, unpack_error
from jobyard.handle import Job
from jobyard.ids import is_job_id
from jobyard.job import JobRecord, JobState
from jobyard.options import priority_of
from jobyard.service.lifetime import Lifetime

__all__ = ["Acting"]

RESULT_LIMIT: Final = 64 * 1024
PROGRESS_LIMIT: Final = 64 * 1024


class Acting(Lifetime):
    """The part of a service that looks at jobs and edits them, one at a time."""

    async def get_job(self, job_id: str) -> Job:
        """Get a job by its id; raises `JobNotFound`."""
        (job,) = await self.get_jobs([job_id])
        if job is None:
            raise JobNotFound(_missing(job_id))
        return job

    async def get_jobs(self, job_ids: Sequence[str]) -> list[Job | None]:
        """Get jobs by id, in the order asked, `None` for one that there is not."""
        await self._usable()
        asked = [job_id for job_id in job_ids if is_job_id(job_id)]
        found = dict(zip(asked, await self.backend.get(asked), strict=True))
        records = [found.get(job_id) for job_id in job_ids]
        return [None if record is None else self._job(record) for record in records]

    async def wait_for(self, job_id: str, *, timeout: Duration | None = None) -> Any:
        """Wait for a job's end and return its result.

        Raises `JobFailed` if it ends otherwise, `TimeoutError` after `timeout` seconds,
        `JobNotFound` when there is no record of it (any more).
        """
        await self._usable()
        seconds = None if timeout is None else to_ms(timeout, "timeout") / 1000
        try:
            async with asyncio.timeout(seconds):
                record = await self._waiters.wait(job_id) if is_job_id(job_id) else None
        except TimeoutError:
            raise TimeoutError(await self._still(job_id, seconds)) from None
        if record is None:
            raise JobNotFound(_missing(job_id))
        if record.state is JobState.COMPLETED:
            return self._job(record).result
        error = unpack_error(record.error)
        why = f" ({record.reason})" if record.reason else ""
        msg = f"job {job_id} ended {record.state}{why}" + (f": {error}" if error else "")
        raise JobFailed(msg)

    async def _still(self, job_id: str, seconds: float | None) -> str:
        """Say how a job is that did not end in time, and what it waits for."""
        try:
            (record,) = await self.backend.get([job_id])
        except BackendError as error:
            return (
                f"job {job_id} has not ended after {seconds:g} s, and cannot be looked at: {error}"
            )
        if record is None:
            return _missing(job_id)
        place = f"{record.queue}/{record.name or '(unnamed)'}"
        where = f"{self.backend.url}, namespace {self.backend.namespace}"
        why = {
            JobState.WAITING: f"does a worker run on {where} with a handler for {place}?",
            JobState.DELAYED: "it is not due yet",
            JobState.BLOCKED: "it waits for another job, or behind its group",
            JobState.ACTIVE: f"its run by {record.worker} goes on",
        }.get(record.state, "it has ended since")
        return f"job {job_id} ({place}) is {record.state} after {seconds:g} s: {why}"

    async def job_logs(self, job_id: str, *, after: int = 0, limit: int = 1_000) -> list[str]:
        """Read the lines of a job's log, oldest first, skipping `after` of them."""
        await self._usable()
        if not is_job_id(job_id):
            return []
        return list((await self.backend.logs(job_id, after=after, limit=limit)).items)

    async def promote_job(self, job_id: str) -> None:
        """Run a delayed job now; raises `InvalidTransition` for one that is not delayed."""
        await self._edit(job_id, RunNow(), "promote")

    async def reschedule_job(
        self, job_id: str, delay: Duration | None = None, *, run_at: datetime | None = None
    ) -> None:
        """Move a waiting or delayed job to `delay` seconds from now, or to an aware instant."""
        if (delay is None) == (run_at is None):
            msg = "reschedule takes a delay or run_at"
            raise InvalidOption(msg)
        change = (
            Reschedule(delay_ms=to_ms(delay, "delay"))
            if run_at is None
            else Reschedule(run_at=instant_ms(run_at, "run_at"))
        )
        await self._edit(job_id, change, "reschedule")

    async def change_priority(self, job_id: str, priority: int | str) -> None:
        """Move a job that has not started in the order."""
        await self._edit(job_id, SetPriority(priority_of(priority)), "change the priority of")

    async def update_job_data(self, job_id: str, data: object) -> None:
        """Replace the payload that the next run of a job sees."""
        job = await self.get_job(job_id)  # its codec stays, whatever it was added with
        payload = self.payloads.encode(job.queue, job.name, data, job.packed_options)
        await self._edit(job_id, SetPayload(payload), "update the data of")

    async def update_job_progress(self, job_id: str, progress: object) -> None:
        """Write an active job's progress from outside its run."""
        value = codec.encode(progress, limit=PROGRESS_LIMIT, what="the progress")
        await self._edit(job_id, SetProgress(value), "update the progress of")

    async def retry_job(self, job_id: str, *, reset_attempts: bool = False) -> None:
        """Let a failed, cancelled, stalled or dead job run again.

        It may fail once more than it has, or, with `reset_attempts`, as often as a new one.
        """
        await self._edit(job_id, Revive(reset=reset_attempts), "retry")

    async def cancel_job(self, job_id: str, *, running: bool = False) -> bool:
        """Cancel a job that has not started; tell whether it was, or will be, cancelled.

        With `running` a started one is asked to stop: its handler is cancelled at the next renewal
        of its lease. A finished job answers false. Raises `JobNotFound`.
        """
        changed = await self._change(job_id, Cancel(running=running))
        return changed.outcome in {ChangeOutcome.OK, ChangeOutcome.ASKED}

    async def unschedule_job(self, job_id: str, name: str | None) -> Any:
        """Take back a job of a name that has not started, leaving no record; return its payload.

        Raises `JobNotFound` if there is no such job or it has another name, `PayloadDecodeError`,
        the job remaining, if its payload cannot be read, `InvalidTransition` once it has started.
        """
        job = await self.get_job(job_id)
        if job.name != (name or ""):
            msg = f"job {job_id} is named {job.name or '(unnamed)'}, not {ascii(name)[:80]}"
            raise JobNotFound(msg)
        data = job.data
        await self._edit(job_id, Cancel(), "unschedule")
        await self._change(job_id, Remove())
        return data

    async def remove_job(self, job_id: str) -> None:
        """Delete a job and all trace of it; raises `JobActive` while it runs."""
        changed = await self._change(job_id, Remove())
        if changed.outcome is ChangeOutcome.WRONG_STATE:
            msg = f"job {job_id} is running: cancel it first, or wait for its end"
            raise JobActive(msg)

    async def requeue_job(self, job_id: str) -> None:
        """Put an active or finished job back to waiting; a worker that has it loses its lease."""
        await self._edit(job_id, Move(to=JobState.WAITING), "requeue")

    async def complete_job(self, job_id: str, result: object = None) -> None:
        """End an unfinished or stalled job as completed, without its worker."""
        packed = codec.encode(result, limit=RESULT_LIMIT, what="the result")
        await self._edit(job_id, Move(to=JobState.COMPLETED, result=packed), "complete")

    async def fail_job(self, job_id: str, message: str = "failed by hand") -> None:
        """End an unfinished or stalled job as failed, without its worker."""
        error = pack_error(JobError(type="FailedByHand", message=message))
        await self._edit(job_id, Move(to=JobState.FAILED, error=error), "fail")

    async def stall_job(self, job_id: str) -> None:
        """Stop an active job as stalled; its worker loses its lease."""
        await self._edit(job_id, Move(to=JobState.STALLED), "stall")

    async def _edit(self, job_id: str, change: Change, verb: str) -> None:
        changed = await self._change(job_id, change)
        if changed.outcome is ChangeOutcome.WRONG_STATE:
            msg = f"cannot {verb} job {job_id}: it is {changed.state}"
            raise InvalidTransition(msg)

    async def _change(self, job_id: str, change: Change) -> Changed:
        await self._usable()
        if not is_job_id(job_id):
            raise JobNotFound(_missing(job_id))
        (changed,) = await self.backend.change([job_id], change)
        match changed.outcome:
            case ChangeOutcome.NOT_FOUND:
                raise JobNotFound(_missing(job_id))
            case ChangeOutcome.OK | ChangeOutcome.ASKED | ChangeOutcome.WRONG_STATE:
                return changed
            case _:
                assert_never(changed.outcome)

    async def parents_of(self, job_id: str) -> list[Job]:
        """Get the jobs that a job depends on, in the order given, those that are there."""
        (record,) = await self.backend.get([job_id])
        if record is None:
            raise JobNotFound(_missing(job_id))
        parents = await self.get_jobs(record.depends_on) if record.depends_on else []
        return [parent for parent in parents if parent is not None]

    def _job(self, record: JobRecord) -> Job:
        return Job(record, self, state=record.state)


def _missing(job_id: str) -> str:
    return (
        f"there is no job {ascii(job_id)[:140]}: the id is wrong, or the job has been removed, "
        "or it is in another store or namespace"
    )
