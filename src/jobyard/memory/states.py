"""The states that every job goes through, under names that cost nothing.

On Python 3.11 looking up a member of an enumeration through its class costs as much as several
function calls; the hot path does so many times a job. Elsewhere `JobState` reads better.
"""

from typing import Final

from jobyard.job import JobState

__all__ = ["ACTIVE", "BLOCKED", "CANCELLED", "COMPLETED", "DELAYED", "WAITING"]

WAITING: Final = JobState.WAITING
DELAYED: Final = JobState.DELAYED
ACTIVE: Final = JobState.ACTIVE
COMPLETED: Final = JobState.COMPLETED
BLOCKED: Final = JobState.BLOCKED
CANCELLED: Final = JobState.CANCELLED
