"""The public face, one concern a module."""

from jobyard.service.service import QueueService

__all__ = ["QueueService"]
