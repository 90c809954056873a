"""Units: the jobs that are added together, and what ties them to others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec
from hypothesis import strategies as st

from jobyard.job import (
    Dedup,
    DedupMode,
    Dependency,
    Group,
    JobSpec,
    OnParentFailure,
    RateKey,
    Unit,
)
from jobyard_conformance.model.shapes import JOB_IDS, job_ids, specs

__all__ = ["plain", "related", "units"]

T = TypeVar("T")

MISSING: Final = "nobody"
"""A parent that there never is."""


groups = st.builds(
    Group, key=st.sampled_from(("g", "g", "g", "h")), limit=st.sampled_from((1, 1, 2))
)
keys = st.builds(
    Dedup,
    key=st.sampled_from(("d", "d", "d", "e")),
    mode=st.sampled_from(DedupMode),
    ttl_ms=st.sampled_from((None, None, 5, 50)),
)
paces = st.builds(
    RateKey,
    key=st.sampled_from(("r", "r", "r", "s")),
    count=st.sampled_from((1, 1, 2)),
    per_ms=st.sampled_from((5, 5, 50)),
)
parents = st.lists(
    st.builds(
        Dependency,
        parent=st.sampled_from((*JOB_IDS, MISSING)),
        on_failure=st.sampled_from(OnParentFailure),
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda each: each.parent,
)


def at_times(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[T | None]:
    """Draw something or nothing."""
    return st.none() | strategy


few_ids = st.lists(job_ids, min_size=1, max_size=3)
some_ids = few_ids | st.lists(job_ids, min_size=1, max_size=3, unique=True)


@st.composite
def units(draw: st.DrawFn) -> Unit:
    """Draw jobs that may have groups, rates, dedup keys and parents.

    Of jobs that expire together it is left open which ends first. Which slot those behind them
    get would depend on it, and whether a child ends for itself or for its parent: so jobs with a
    rate or with parents do not expire.
    """
    found: list[JobSpec] = []
    for job_id in draw(some_ids):
        spec = msgspec.structs.replace(draw(specs()), id=job_id)
        depends_on = draw(st.just([]) | st.just([]) | parents)
        rate = draw(at_times(paces))
        found.append(
            msgspec.structs.replace(
                spec,
                group=draw(at_times(groups)),
                dedup=draw(at_times(keys)),
                rate=rate,
                depends_on=tuple(depends_on),
                ttl_ms=None if rate is not None or depends_on else spec.ttl_ms,
            )
        )
    return tuple(found)


def related(unit: Unit, there: Sequence[str]) -> Unit:
    """Let each job depend on jobs that are there or before it, but for `MISSING`.

    A parent that is missing stops its whole unit, which should not happen to most.
    """
    known = list(there)
    found: list[JobSpec] = []
    for spec in unit:
        choice = [each for each in known if each != spec.id]
        depends_on: dict[str, Dependency] = {}
        for each in spec.depends_on:
            name = each.parent
            if name != MISSING and name not in choice:
                if not choice:
                    continue
                name = choice[JOB_IDS.index(name) % len(choice)]
            depends_on[name] = msgspec.structs.replace(each, parent=name)
        found.append(msgspec.structs.replace(spec, depends_on=tuple(depends_on.values())))
        known.append(spec.id)
    return tuple(found)


def plain(unit: Unit) -> Unit:
    """Take from jobs all that may hold them back."""
    return tuple(
        msgspec.structs.replace(spec, group=None, dedup=None, rate=None, depends_on=())
        for spec in unit
    )
