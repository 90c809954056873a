"""Naming the leases that a step is about: each once, and for each job which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobyard.lease import Lease
from jobyard_postgres.arrays import int4s, int8s, texts


def lease_arrays(leases: Sequence[Lease]) -> tuple[Any, ...]:
    """Return fences and tokens; the jobs' numbers, and the place of each one's lease."""
    places: dict[tuple[int, str], int] = {}
    of = [places.setdefault((lease.fence, lease.lease_id), len(places) + 1) for lease in leases]
    return (
        int8s([fence for fence, _ in places]),
        texts([token for _, token in places]),
        int8s([lease.no for lease in leases]),
        int4s(of),
    )
