"""What ties jobs to others, as arrays: gates, dedup keys and parents, beside what all jobs have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from jobyard.job import Added, AddOutcome, DedupMode, JobSpec, OnParentFailure, Unit
from jobyard_postgres.arrays import bools, int4s, nullable_int8s, nullable_texts, texts
from jobyard_sql.codes import CHILD, GROUP, KEYED, RATE, STATES

OUTCOMES: Final = (
    AddOutcome.CREATED,
    AddOutcome.EXISTS,
    AddOutcome.DEDUPLICATED,
    AddOutcome.NO_PARENT,
)
MODES: Final = tuple(DedupMode)


def is_tied(spec: JobSpec) -> bool:
    """Tell whether a job is to be added after a look at others."""
    return bool(spec.group or spec.rate or spec.dedup or spec.depends_on)


def flags_of(spec: JobSpec) -> int:
    """Write what a job asks for as flags."""
    flags = 0
    if spec.group is not None:
        flags |= GROUP
    if spec.rate is not None:
        flags |= RATE
    if spec.dedup is not None:
        flags |= KEYED
    if spec.depends_on:
        flags |= CHILD
    return flags


def tie_arrays(units: Sequence[Unit]) -> tuple[Any, ...]:
    """Return the unit of each job, its gates, its key, and which job has which parents."""
    specs = [spec for unit in units for spec in unit]
    groups = [spec.group for spec in specs]
    rates = [spec.rate for spec in specs]
    dedups = [spec.dedup for spec in specs]
    edges = [(place, each) for place, spec in enumerate(specs, 1) for each in spec.depends_on]
    return (
        int4s([number for number, unit in enumerate(units, 1) for _ in unit]),
        nullable_texts([None if each is None else each.key for each in groups]),
        nullable_int8s([None if each is None else each.limit for each in groups]),
        nullable_texts([None if each is None else each.key for each in rates]),
        nullable_int8s([None if each is None else each.count for each in rates]),
        nullable_int8s([None if each is None else each.per_ms for each in rates]),
        nullable_texts([None if each is None else each.key for each in dedups]),
        int4s([0 if each is None else MODES.index(each.mode) for each in dedups]),
        nullable_int8s([None if each is None else each.ttl_ms for each in dedups]),
        int4s([place for place, _ in edges]),
        texts([each.parent for _, each in edges]),
        bools([each.on_failure is OnParentFailure.IGNORE for _, each in edges]),
    )


def answers(
    ids: Sequence[str], outcomes: Sequence[int], states: Sequence[int | None]
) -> list[Added]:
    """Show what became of each job."""
    return [
        Added(job_id, OUTCOMES[outcome], None if state is None else STATES[state])
        for job_id, outcome, state in zip(ids, outcomes, states, strict=True)
    ]
