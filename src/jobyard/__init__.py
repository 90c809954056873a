"""One job queue API over SQLite, PostgreSQL and Redis."""

from jobyard.announce import Event
from jobyard.backoff import Backoff
from jobyard.errors import (
    BackendError,
    ConfigError,
    InvalidJob,
    JobFailed,
    JobNotFound,
    JobyardError,
    LeaseLost,
    PayloadError,
    WrongState,
)
from jobyard.failure import JobError
from jobyard.handle import Job
from jobyard.handlers import HandlerKind
from jobyard.job import JobState, Reason
from jobyard.options import JobOptions
from jobyard.queue import Queue
from jobyard.retention import Keep, RetentionPolicy
from jobyard.service import QueueService
from jobyard.signals import Discard, Retry, Snooze, Unrecoverable
from jobyard.stats import QueueMetrics, QueueStats

__all__ = [
    "BackendError",
    "Backoff",
    "ConfigError",
    "Discard",
    "Event",
    "HandlerKind",
    "InvalidJob",
    "Job",
    "JobError",
    "JobFailed",
    "JobNotFound",
    "JobOptions",
    "JobState",
    "JobyardError",
    "Keep",
    "LeaseLost",
    "PayloadError",
    "Queue",
    "QueueMetrics",
    "QueueService",
    "QueueStats",
    "Reason",
    "RetentionPolicy",
    "Retry",
    "Snooze",
    "Unrecoverable",
    "WrongState",
]
