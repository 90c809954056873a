"""Looking at the yard, and changing nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jobyard.job import JobRecord
from jobyard.memory.card import Card, record_of
from jobyard.memory.queue import YardQueue
from jobyard.memory.tally import Tally
from jobyard.memory.yard import Yard
from jobyard.metrics import Metrics
from jobyard.query import Counts, JobQuery, Page, QueueInfo

__all__ = ["find", "get", "logs", "metrics", "queues"]


def get(yard: Yard, job_ids: Sequence[str]) -> tuple[JobRecord | None, ...]:
    """Show jobs by id, in the order asked."""
    cards = (yard.cards.get(job_id) for job_id in job_ids)
    return tuple(None if card is None else record_of(card) for card in cards)


def find(yard: Yard, query: JobQuery) -> Page[JobRecord]:
    """List jobs; a page's `next` is the number of its last job."""
    limit = max(query.limit, 0)
    found: list[Card] = []
    for card in _following(yard, query):
        if not _passes(card, query):
            continue
        if len(found) == limit:
            return _page(found, more=True)
        found.append(card)
    return _page(found, more=False)


def _page(found: list[Card], *, more: bool) -> Page[JobRecord]:
    items = tuple(record_of(card) for card in found)
    return Page(items=items, next=str(found[-1].no) if more and found else None)


def _following(yard: Yard, query: JobQuery) -> Iterator[Card]:
    """Show the jobs after the query's cursor: a dict keeps the order of insertion."""
    after = None if query.after is None else int(query.after)
    if query.newest_first:
        for card in reversed(yard.cards.values()):
            if after is None or card.no < after:
                yield card
        return
    for card in yard.cards.values():
        if after is None or card.no > after:
            yield card


def _passes(card: Card, query: JobQuery) -> bool:
    return (
        (query.queue is None or card.queue == query.queue)
        and (query.states is None or card.state in query.states)
        and (query.names is None or card.name in query.names)
        and (query.created_from is None or card.created_at >= query.created_from)
        and (query.created_until is None or card.created_at < query.created_until)
    )


def logs(yard: Yard, job_id: str, *, after: int, limit: int) -> Page[str]:
    """Show the lines of a job's log; a page's `next` is how many lines to skip then."""
    lines = yard.lines.get(job_id, [])
    end = after + max(limit, 0)
    items = tuple(lines[after:end])
    return Page(items=items, next=str(end) if items and end < len(lines) else None)


def queues(yard: Yard, names: Sequence[str] | None) -> tuple[QueueInfo, ...]:
    """Show queues by name."""
    wanted = sorted(yard.queues if names is None else set(names) & yard.queues.keys())
    return tuple(_info(yard.queues[name]) for name in wanted)


def _info(queue: YardQueue) -> QueueInfo:
    return QueueInfo(
        name=queue.name,
        paused=queue.paused,
        counts=Counts(**{state.value: count for state, count in queue.counts.items()}),
        oldest_due=min((card.due_at for card in queue.waiting()), default=None),
        limits=tuple(queue.limiters[name].info() for name in sorted(queue.limiters, key=_by_name)),
    )


def _by_name(name: str | None) -> tuple[bool, str]:
    return name is not None, name or ""


def metrics(yard: Yard, queue: str, *, since: int, until: int) -> Metrics:
    """Tell what happened in a queue; nothing, in one that is not known."""
    found = yard.queues.get(queue)
    tally = Tally() if found is None else found.tally
    return tally.metrics(queue, since=since, until=until)
