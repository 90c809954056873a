"""Adding jobs, and the schedules that do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from jobyard.events import EventKind
from jobyard.job import Added, AddOutcome, JobSpec, Unit
from jobyard.memory.card import open_card
from jobyard.memory.dependants import enter_after_parents, missing_parent
from jobyard.memory.keys import hold_key, meet_holder
from jobyard.memory.moves import enrol, enter, resize
from jobyard.memory.step import Step
from jobyard.query import Page
from jobyard.schedule import ScheduleRecord

__all__ = ["add", "drop_schedules", "fire", "list_schedules", "put_schedules", "swap_schedule"]

CREATED: Final = AddOutcome.CREATED  # named once for the reason told in states.py


def add(step: Step, units: Sequence[Unit]) -> tuple[tuple[Added, ...], ...]:
    """Store units of jobs; the answers are in the order asked."""
    return tuple(_add_unit(step, unit) for unit in units)


def _add_unit(step: Step, unit: Unit) -> tuple[Added, ...]:
    known: set[str] = set()
    for spec in unit:
        if spec.depends_on and missing_parent(step, spec, known) is not None:
            return tuple(Added(each.id, AddOutcome.NO_PARENT, None) for each in unit)
        known.add(spec.id)
    others: dict[str, str] = {}
    return tuple(_add_one(step, spec, others) for spec in unit)


def _add_one(step: Step, spec: JobSpec, others: dict[str, str]) -> Added:
    """Store one job; `others` notes whose jobs stand for those of its unit that were not added."""
    yard = step.yard
    found = yard.cards.get(spec.id)
    if found is not None:
        return Added(spec.id, AddOutcome.EXISTS, found.state)
    if spec.dedup is not None and (met := meet_holder(step, spec, spec.dedup)) is not None:
        others[spec.id] = met.job_id
        return met
    yard.latest_no += 1
    asked = spec.run_at if spec.run_at is not None else step.now + spec.delay_ms
    card = open_card(spec, no=yard.latest_no, now=step.now, due_at=max(asked, step.now))
    yard.cards[card.id] = card
    yard.queue(card.queue).tally.minute(step.now).added += 1
    if step.logging:
        step.tell_job(EventKind.ADDED, card)
    if spec.dedup is not None:
        hold_key(step, card, spec.dedup)
    if card.is_gated:
        enrol(step, card)
        resize(step, card)
    yard.watch(card)
    if card.depends_on:
        card.depends_on = tuple(
            msgspec.structs.replace(each, parent=others.get(each.parent, each.parent))
            for each in card.depends_on
        )
        enter_after_parents(step, card, due_at=card.due_at)
    else:
        enter(step, card, due_at=card.due_at)
    return Added(card.id, CREATED, card.state)


def put_schedules(step: Step, schedules: Sequence[ScheduleRecord]) -> None:
    """Store schedules, each replacing the one of its key."""
    for schedule in schedules:
        step.yard.schedules[schedule.key] = schedule


def swap_schedule(
    step: Step, key: str, *, old: ScheduleRecord | None, new: ScheduleRecord | None
) -> bool:
    """Put one schedule in the place of another, if that is what is stored."""
    schedules = step.yard.schedules
    if schedules.get(key) != old:
        return False
    if new is not None:
        schedules[key] = new
    elif old is not None:
        del schedules[key]
    return True


def drop_schedules(step: Step, keys: Sequence[str]) -> int:
    """Forget schedules; tell how many there were."""
    return sum(step.yard.schedules.pop(key, None) is not None for key in keys)


def list_schedules(step: Step, *, due: bool, after: str | None, limit: int) -> Page[ScheduleRecord]:
    """List schedules by key; a page's `next` is its last key."""
    found = [
        schedule
        for key, schedule in sorted(step.yard.schedules.items())
        if (after is None or key > after) and (not due or _is_due(schedule, step.now))
    ]
    items = tuple(found[: max(limit, 0)])
    return Page(items=items, next=items[-1].key if items and len(found) > len(items) else None)


def _is_due(schedule: ScheduleRecord, now: int) -> bool:
    return not schedule.paused and schedule.next_at is not None and schedule.next_at <= now


def fire(
    step: Step, key: str, *, expected: int, next_at: int | None, jobs: Unit
) -> tuple[Added, ...] | None:
    """Add the jobs of one tick and move the schedule on, if nobody else has."""
    schedule = step.yard.schedules.get(key)
    if schedule is None or schedule.paused or schedule.next_at != expected:
        return None
    step.yard.schedules[key] = msgspec.structs.replace(
        schedule, next_at=next_at, last_at=expected, fired=schedule.fired + 1
    )
    added = _add_unit(step, jobs)
    for spec, answer in zip(jobs, added, strict=True):
        if answer.outcome is AddOutcome.CREATED:
            step.tell_scheduled(spec)
    return added
