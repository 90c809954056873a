"""Dependants: the jobs that wait for others, and what the end of those means for them."""

from __future__ import annotations

from jobyard.events import EventKind
from jobyard.job import JobSpec, JobState, OnParentFailure, Reason
from jobyard.memory.card import Card
from jobyard.memory.gates import Gate
from jobyard.memory.moves import attach, block, enter, fail, leave
from jobyard.memory.states import BLOCKED, COMPLETED
from jobyard.memory.step import Step

__all__ = ["enter_after_parents", "missing_parent", "resolve"]


def enter_after_parents(step: Step, card: Card, *, due_at: int) -> None:
    """Let a new job wait for its parents, or go where they lead if all have ended."""
    attach(step.yard, card)
    open_parents = set()
    for each in card.depends_on:
        parent = step.yard.cards.get(each.parent)
        if parent is None or parent.state is COMPLETED:
            continue  # one that held the key of a parent and is gone has ended well
        if not _has_ended(parent):
            open_parents.add(each.parent)
        elif each.on_failure is OnParentFailure.FAIL:
            _fail(step, card)
            return
    if open_parents:
        card.waits_for = frozenset(open_parents)
        block(step, card, Gate.PARENTS, due_at=due_at)
    else:
        enter(step, card, due_at=due_at)


def resolve(step: Step) -> None:
    """Tell the children of the jobs that have ended or gone in this step, and theirs (DEP-3)."""
    while step.ended:
        parent = step.ended.pop(0)
        children = step.yard.children.get(parent.id, {})
        for child in sorted(children.values(), key=_number):
            if parent.id in child.waits_for:
                _go_on(step, child, parent)
        if step.yard.cards.get(parent.id) is not parent:
            step.yard.children.pop(parent.id, None)


def _number(card: Card) -> int:
    return card.no


def _has_ended(card: Card) -> bool:
    """Whether a parent will not run again by itself; a stalled one waits for a person."""
    return card.state.is_finished and card.state is not JobState.STALLED


def _go_on(step: Step, child: Card, parent: Card) -> None:
    is_there = step.yard.cards.get(parent.id) is parent
    if is_there and not _has_ended(parent):
        return
    if parent.state is not COMPLETED and _policy(child, parent) is OnParentFailure.FAIL:
        leave(step, child)
        _fail(step, child)
        return
    child.waits_for -= {parent.id}
    if not child.waits_for and child.state is BLOCKED:
        leave(step, child)
        enter(step, child, due_at=child.due_at)


def _policy(child: Card, parent: Card) -> OnParentFailure:
    return next(each.on_failure for each in child.depends_on if each.parent == parent.id)


def _fail(step: Step, card: Card) -> None:
    card.waits_for = frozenset()
    step.tell_job(EventKind.FAILED, card)
    fail(step, card, reason=Reason.DEPENDENCY)


def missing_parent(step: Step, spec: JobSpec, known: set[str]) -> str | None:
    """Tell a parent of a job that there is not, neither stored nor before it in its unit."""
    for each in spec.depends_on:
        if each.parent not in known and each.parent not in step.yard.cards:
            return each.parent
    return None
