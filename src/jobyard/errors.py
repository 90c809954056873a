"""What can go wrong, each with what to do about it.

JobyardError
├── ConfigError            InvalidUrl · UnknownScheme · AmbiguousScheme · PluginFailed ·
│                          ContractMismatch · StorageTooNew · StorageNotPrepared · WeakStorage
├── BackendError           BackendUnavailable · BackendClosed · StoreBusy · StoreFull · StoreCorrupt
├── InvalidJob             InvalidName · InvalidOption · PayloadError
│     PayloadError         PayloadTooLarge · PayloadNotPortable · PayloadDecodeError
├── JobNotFound · QueueNotFound · ScheduleNotFound
├── WrongState             JobActive · InvalidTransition · QueueNotEmpty
├── HandlerExists · JobFailed · LeaseLost
└── Unsupported

A message defaults to the first line of the class's docstring. None ever shows a password.
"""

from __future__ import annotations

import inspect

__all__ = [
    "AmbiguousScheme",
    "BackendClosed",
    "BackendError",
    "BackendUnavailable",
    "ConfigError",
    "ContractMismatch",
    "HandlerExists",
    "InvalidJob",
    "InvalidName",
    "InvalidOption",
    "InvalidTransition",
    "InvalidUrl",
    "JobActive",
    "JobFailed",
    "JobNotFound",
    "JobyardError",
    "LeaseLost",
    "PayloadDecodeError",
    "PayloadError",
    "PayloadNotPortable",
    "PayloadTooLarge",
    "PluginFailed",
    "QueueNotEmpty",
    "QueueNotFound",
    "ScheduleNotFound",
    "StorageNotPrepared",
    "StorageTooNew",
    "StoreBusy",
    "StoreCorrupt",
    "StoreFull",
    "UnknownScheme",
    "Unsupported",
    "WeakStorage",
    "WrongState",
]


class JobyardError(Exception):
    """The root of what jobyard raises."""

    def __init__(self, message: str | None = None) -> None:
        if message is None:
            message = (inspect.getdoc(type(self)) or type(self).__name__).splitlines()[0]
        super().__init__(message)


class ConfigError(JobyardError):
    """Something is set up in a way that cannot work; mend the configuration."""


class InvalidUrl(ConfigError, ValueError):
    """The URL, or an option in it, cannot be understood."""


class UnknownScheme(ConfigError):
    """No installed backend serves the URL's scheme; install one that does."""


class AmbiguousScheme(ConfigError):
    """Two installed backends claim the URL's scheme; uninstall or disable one."""


class PluginFailed(ConfigError):
    """The plugin that serves this scheme could not be loaded; its own error is the cause."""


class ContractMismatch(ConfigError):
    """The backend was written for another version of the contract; upgrade the older one."""


class StorageTooNew(ConfigError):
    """The store was prepared by a newer jobyard; upgrade this process."""


class StorageNotPrepared(ConfigError):
    """The store is not prepared, and this service may not do so; run its migration first."""


class WeakStorage(ConfigError):
    """The store as it is set up cannot keep what `strict` asks for."""


class BackendError(JobyardError):
    """The store could not do it.

    `transient` tells that the same call may succeed later; the driver's error is the cause.
    """

    transient: bool = False


class BackendUnavailable(BackendError):
    """The store cannot be reached."""

    transient = True


class BackendClosed(BackendError):
    """The backend is closed, or was never opened."""


class StoreBusy(BackendError):
    """The store was kept busy by others for too long; nothing was changed."""

    transient = True


class StoreFull(BackendError):
    """The store has no room left; nothing was changed."""

    transient = True


class StoreCorrupt(BackendError):
    """The store holds something that cannot be read back."""


class InvalidJob(JobyardError, ValueError):
    """The job cannot be added as it is; nothing was stored."""


class InvalidName(InvalidJob):
    """A name of a queue, job or channel, or a job id, has characters or a length not allowed."""


class InvalidOption(InvalidJob):
    """An option's value is out of its range."""


class PayloadError(InvalidJob):
    """The payload cannot be stored."""


class PayloadTooLarge(PayloadError):
    """The encoded payload is larger than the limit; store it elsewhere and pass a reference."""


class PayloadNotPortable(PayloadError, TypeError):
    """The payload would not come back equal."""


class PayloadDecodeError(PayloadError):
    """The stored payload cannot be decoded."""


class JobNotFound(JobyardError, LookupError):
    """There is no such job: the id is wrong, or the job has been removed."""


class QueueNotFound(JobyardError, LookupError):
    """There is no such queue."""


class ScheduleNotFound(JobyardError, LookupError):
    """There is no such schedule."""


class WrongState(JobyardError):
    """The job or queue is not in a state that allows this."""


class JobActive(WrongState):
    """The job is running; cancel it first, or wait for its end."""


class InvalidTransition(WrongState):
    """A job does not go from its state to the one asked for."""


class QueueNotEmpty(WrongState):
    """Jobs of the queue are running; wait for them, or use force."""


class HandlerExists(ConfigError):
    """Another handler is registered for this queue and name; pass replace=True to replace it."""


class JobFailed(JobyardError):
    """The job whose result was awaited did not complete."""


class LeaseLost(JobyardError):
    """The lease ran out and the job is another worker's now; what this run does counts no more."""


class Unsupported(JobyardError):
    """This store, or this version of it, cannot do that."""
