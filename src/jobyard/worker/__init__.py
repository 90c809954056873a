"""The worker: what claims jobs, runs their handlers and settles them."""

from jobyard.worker.chores import Chore
from jobyard.worker.host import WorkerHost
from jobyard.worker.processes import ProcessDied
from jobyard.worker.scheduler import Scheduler
from jobyard.worker.signals import stop_on_signals
from jobyard.worker.tally import WorkerStats
from jobyard.worker.threads import ThreadJob
from jobyard.worker.wire import ProcessJob
from jobyard.worker.worker import Worker

__all__ = [
    "Chore",
    "ProcessDied",
    "ProcessJob",
    "Scheduler",
    "ThreadJob",
    "Worker",
    "WorkerHost",
    "WorkerStats",
    "stop_on_signals",
]
