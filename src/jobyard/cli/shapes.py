"""The shapes in which `--json` shows things: they only ever gain keys."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jobyard.errors import PayloadError

if TYPE_CHECKING:
    from jobyard import Event, Job
    from jobyard.plan import Schedule
    from jobyard.presence import WorkerInfo
    from jobyard.query import QueueInfo

__all__ = ["event_shape", "job_shape", "queue_shape", "schedule_shape", "worker_shape"]


def job_shape(job: Job) -> dict[str, Any]:
    """Show a job without its payload and its result."""
    error = job.error
    return {
        "id": job.id,
        "queue": job.queue,
        "name": job.name or None,
        "state": job.state.value,
        "reason": job.reason,
        "priority": job.priority,
        "channel": job.channel,
        "group": job.group,
        "attempts": job.attempts,
        "failures": job.failures,
        "crashes": job.crashes,
        "fence": job.fence,
        "worker": job.worker,
        "progress": job.progress,
        "created_at": _iso(job.created_at),
        "due_at": _iso(job.due_at),
        "started_at": _iso(job.started_at),
        "finished_at": _iso(job.finished_at),
        "expires_at": _iso(job.expires_at),
        "tags": list(job.tags),
        "headers": dict(job.headers),
        "error": None if error is None else {"type": error.type, "message": error.message},
    }


def whole_job_shape(job: Job, logs: list[str]) -> dict[str, Any]:
    """Show a job with its payload, its result, its traceback and its log."""
    shape = job_shape(job)
    if job.error is not None:
        shape["error"]["traceback"] = job.error.traceback
    return {**shape, **_payload(job), "result": job.result, "logs": logs}


def _payload(job: Job) -> dict[str, Any]:
    """Give the payload as JSON, or, where it is none, its bytes."""
    try:
        data = job.data
        json.dumps(data)
    except (PayloadError, TypeError, ValueError):
        return {"data": None, "data_base64": base64.b64encode(job.packed_payload).decode()}
    return {"data": data, "data_base64": None}


def queue_shape(info: QueueInfo, *, now: int) -> dict[str, Any]:
    """Show a queue: its jobs by state, and how long the first has been waiting."""
    from jobyard.stats import stats_of  # noqa: PLC0415 - not needed for --help

    counts = stats_of(info, now=now)
    return {
        "queue": info.name,
        **{state: getattr(counts, state) for state in info.counts.__struct_fields__},
        "total": counts.total,
        "paused": counts.is_paused,
        "oldest_wait_seconds": counts.oldest_wait,
    }


def schedule_shape(schedule: Schedule) -> dict[str, Any]:
    """Show a schedule."""
    return {
        "key": schedule.key,
        "queue": schedule.queue,
        "name": schedule.name or None,
        "data": schedule.data,
        "every_seconds": schedule.every,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "start": _iso(schedule.start),
        "end": _iso(schedule.end),
        "limit": schedule.limit,
        "overlap": schedule.overlap,
        "catch_up": schedule.catch_up,
        "paused": schedule.paused,
        "next_at": _iso(schedule.next_at),
        "last_at": _iso(schedule.last_at),
        "fired": schedule.fired,
    }


def worker_shape(worker: WorkerInfo, *, now: int) -> dict[str, Any]:
    """Show a worker as the store knows it."""
    return {
        "id": worker.id,
        "host": worker.host,
        "pid": worker.pid,
        "queues": list(worker.queues),
        "concurrency": worker.concurrency,
        "active": worker.active,
        "state": worker.state.value,
        "up_seconds": max(0, now - worker.started_at) / 1000,
        "seen_seconds_ago": max(0, now - worker.seen_at) / 1000,
    }


def event_shape(event: Event) -> dict[str, Any]:
    """Show an event; `data` is `null` where JSON cannot hold it."""
    return {
        "event": event.name,
        "at": _iso(event.at),
        "id": event.id,
        "queue": event.queue or None,
        "job_id": event.job_id,
        "job_name": event.job_name or None,
        "worker": event.worker_id,
        "attempt": event.attempt,
        "seconds": event.duration,
        "data": _event_data(event.data),
    }


def _event_data(data: Any) -> Any:
    from jobyard.failure import JobError  # noqa: PLC0415 - not needed for --help

    if isinstance(data, JobError):
        return {"type": data.type, "message": data.message}
    return data


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
