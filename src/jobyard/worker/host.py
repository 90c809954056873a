"""What a worker needs of the service that it works for."""

from __future__ import annotations

from typing import Protocol

from jobyard.backend import Backend
from jobyard.handle import Job
from jobyard.handlers import Handlers
from jobyard.lease import Lease
from jobyard.run import Run

__all__ = ["WorkerHost"]


class WorkerHost(Protocol):
    """The service, as its workers see it: an opened backend, the handlers, and the job handle."""

    @property
    def backend(self) -> Backend:
        """The backend, opened and prepared."""
        ...

    @property
    def handlers(self) -> Handlers:
        """The handlers; those registered while the worker runs are served too."""
        ...

    def job_for(self, lease: Lease, run: Run) -> Job:
        """Make the handle that a handler is called with."""
        ...

    async def worker_begins(self) -> None:
        """Be told that a worker begins: what its handlers share is got ready."""
        ...

    async def listeners_hear(self) -> None:
        """Return when what a worker does from now on reaches who listens to the service."""
        ...

    async def worker_has_ended(self) -> None:
        """Be told that a worker has ended."""
        ...
