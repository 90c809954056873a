"""The one place where the driver's errors become the contract's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis import exceptions as driver

from jobyard.errors import BackendError, BackendUnavailable, StoreBusy, StoreFull
from jobyard.url import BackendUrl

BUSY: Final = "BUSY "
FULL: Final = ("OOM ", "MISCONF ")
AWAY: Final = (
    "LOADING ",
    "READONLY ",
    "MASTERDOWN ",
    "CLUSTERDOWN ",
    "TRYAGAIN ",
    "NOREPLICAS ",
    "UNBLOCKED ",
)


def meaning_of(error: Exception, url: BackendUrl) -> BackendError:
    """Tell what an error of the driver's means to a caller."""
    if isinstance(error, driver.AuthenticationError | driver.NoPermissionError):
        return BackendError(f"{url} refuses the user, the password or a right of theirs: {error}")
    if isinstance(error, driver.OutOfMemoryError):
        return StoreFull(f"{url} has no memory left; raise maxmemory, or remove jobs")
    if isinstance(error, driver.ReadOnlyError):
        return BackendUnavailable(f"{url} is a replica, which cannot be written to")
    if isinstance(error, driver.ConnectionError | driver.TimeoutError | OSError):
        return BackendUnavailable(f"{url} cannot be reached: {error}")
    # Errors of a script's commands carry their code behind some words, or before them.
    said = str(error)
    if BUSY in said:
        return StoreBusy(f"{url} is busy with a script of somebody's")
    if any(code in said for code in FULL):
        return StoreFull(f"{url} has no room for memory or its log: {said}")
    if any(code in said for code in AWAY):
        return BackendUnavailable(f"{url} cannot serve now: {said}")
    return BackendError(f"{url} could not do it: {said}")


@contextmanager
def translating(url: BackendUrl) -> Iterator[None]:
    """Raise the contract's errors in place of the driver's."""
    try:
        yield
    except (driver.RedisError, OSError) as error:
        raise meaning_of(error, url) from error
