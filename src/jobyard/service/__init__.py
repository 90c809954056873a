"""The public face, one concern a module."""

from jobyard.service.flowing import FlowJob
from jobyard.service.limiting import QueueLimit
from jobyard.service.service import QueueService

__all__ = ["FlowJob", "QueueLimit", "QueueService"]
