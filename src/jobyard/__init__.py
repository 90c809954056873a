"""One job queue API over SQLite, PostgreSQL and Redis."""

from jobyard.announce import Event
from jobyard.backoff import Backoff
from jobyard.definition import Definition
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
from jobyard.flowcontrol import Dedup, RateLimit
from jobyard.handle import Job
from jobyard.handlers import BatchOptions, HandlerKind
from jobyard.job import Dependency, Group, JobState, Reason
from jobyard.options import JobOptions
from jobyard.plan import Schedule
from jobyard.queue import Queue
from jobyard.retention import Keep, RetentionPolicy
from jobyard.service import FlowJob, QueueLimit, QueueService
from jobyard.signals import Discard, RateLimited, Retry, Snooze, Unrecoverable
from jobyard.stats import QueueMetrics, QueueStats

__all__ = [
    "BackendError",
    "Backoff",
    "BatchOptions",
    "ConfigError",
    "Dedup",
    "Definition",
    "Dependency",
    "Discard",
    "Event",
    "FlowJob",
    "Group",
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
    "QueueLimit",
    "QueueMetrics",
    "QueueService",
    "QueueStats",
    "RateLimit",
    "RateLimited",
    "Reason",
    "RetentionPolicy",
    "Retry",
    "Schedule",
    "Snooze",
    "Unrecoverable",
    "WrongState",
]
