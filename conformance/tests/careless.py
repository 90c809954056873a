"""A backend that is broken on purpose: it settles by the job's id and state alone.

Whoever settles a job that is active ends it, whoever holds it. It stands on another store, and its
handles share in a folder beside that which lease each job was given last.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from jobyard.lease import Claim, Claimed, Lease, Settlement, Settling
from jobyard.plugins import load_plugins
from jobyard.url import BackendUrl

__all__ = ["CarelessBackend"]

Real: Any = load_plugins().resolve("sqlite")


class CarelessBackend(Real):  # type: ignore[misc]
    """Looks up who holds a job, instead of asking who settles it."""

    def __init__(self, url: BackendUrl, **options: Any) -> None:
        super().__init__(BackendUrl.parse(f"sqlite{str(url).removeprefix(url.scheme)}"), **options)
        self._given = Path(f"{url.path}-given")
        self._given.mkdir(exist_ok=True)

    async def claim(self, want: Claim) -> Claimed:
        claimed: Claimed = await super().claim(want)
        self._note(claimed.leases)
        return claimed

    async def settle(
        self, settlements: Sequence[Settlement], *, claim: Claim | None = None
    ) -> Settling:
        ends = [
            msgspec.structs.replace(each, lease=self._holder(each.lease)) for each in settlements
        ]
        settling: Settling = await super().settle(ends, claim=claim)
        if settling.claimed is not None:
            self._note(settling.claimed.leases)
        return settling

    def _note(self, leases: Iterable[Lease]) -> None:
        for lease in leases:
            new = self._given / f"{lease.job_id}.{os.getpid()}"
            new.write_bytes(msgspec.json.encode(lease))
            new.rename(self._given / lease.job_id)

    def _holder(self, lease: Lease) -> Lease:
        try:
            content = (self._given / lease.job_id).read_bytes()
        except FileNotFoundError:
            return lease
        return msgspec.json.decode(content, type=Lease)
