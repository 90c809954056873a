"""The backend that the mutants are made from: not broken, and it shows its inside."""

from __future__ import annotations

from jobyard.lease import Claim, Claimed, Lease
from jobyard.memory import MemoryBackend
from jobyard.memory.yard import Yard

__all__ = ["Faithful"]


class Faithful(MemoryBackend):
    """Not broken: what the others are measured against."""

    given: dict[str, Lease]
    """The latest lease of each job, over all handles of a test."""
    limits: dict[str, int]
    """For a mutant that keeps limits in its own way, over all handles of a test."""

    async def claim(self, want: Claim) -> Claimed:
        claimed = await super().claim(want)
        self.given.update({lease.job_id: lease for lease in claimed.leases})
        return claimed

    def holder(self, lease: Lease) -> Lease:
        return self.given.get(lease.job_id, lease)

    @property
    def yard(self) -> Yard:
        """What the engine works on."""
        return self._place().engine.yard
