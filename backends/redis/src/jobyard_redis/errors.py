"""The one place where the driver's errors become the contract's."""

from __future__ import annotations

from typing import Final

from redis import exceptions as driver

from jobyard.errors import (
    BackendError,
    BackendUnavailable,
    StoreBusy,
    StoreCorrupt,
    StoreFull,
)
from jobyard.url import BackendUrl

BUSY: Final = ("BUSY ", "Script killed by user")
UNTRUSTED: Final = "CERTIFICATE_VERIFY_FAILED"
"""What the ssl module says of a certificate of nobody it knows, or for another host."""

CORRUPT: Final = "WRONGTYPE "
FULL: Final = ("OOM ", "MISCONF ")
AWAY: Final = ("LOADING ", "READONLY ", "MASTERDOWN ", "NOREPLICAS ", "UNBLOCKED ")
"""What a server says that cannot serve now; the driver makes classes of what it hears first hand,
but errors of a script's commands carry their code behind some words."""


def meaning_of(error: Exception, url: BackendUrl) -> BackendError:
    """Tell what an error of the driver's means to a caller."""
    if UNTRUSTED in str(error):
        return BackendError(f"{url} shows a certificate that is not accepted: {error}")
    return _meaning_of_class(error, url) or _meaning_of_words(str(error), url)


def _meaning_of_class(error: Exception, url: BackendUrl) -> BackendError | None:
    if isinstance(error, driver.AuthenticationError | driver.NoPermissionError):
        return BackendError(f"{url} refuses the user, the password or a right of theirs: {error}")
    if isinstance(error, driver.OutOfMemoryError):
        return StoreFull(f"{url} has no memory left; raise maxmemory, or remove jobs")
    if isinstance(error, driver.ReadOnlyError):
        return BackendUnavailable(f"{url} is a replica, which cannot be written to")
    if isinstance(error, driver.BusyLoadingError):
        return BackendUnavailable(f"{url} is still loading what it had kept")
    if isinstance(error, driver.MovedError | driver.AskError):
        return BackendError(f"{url} is not the node of the cluster that has the namespace: {error}")
    if isinstance(error, driver.ClusterDownError | driver.TryAgainError):
        return BackendUnavailable(f"{url} cannot serve now: {error}")
    if isinstance(error, driver.ConnectionError | driver.TimeoutError | OSError):
        return BackendUnavailable(f"{url} cannot be reached: {error}")
    return None


def _meaning_of_words(said: str, url: BackendUrl) -> BackendError:
    if any(code in said for code in BUSY):
        return StoreBusy(f"{url} is busy with a script of somebody's, or one was killed: {said}")
    if any(code in said for code in FULL):
        return StoreFull(f"{url} has no room in its memory or on its disk: {said}")
    if any(code in said for code in AWAY):
        return BackendUnavailable(f"{url} cannot serve now: {said}")
    if CORRUPT in said:
        return StoreCorrupt(f"{url} has a key of the namespace's that is somebody else's: {said}")
    return BackendError(f"{url} could not do it: {said}")
