"""Whatever is done to a yard, its places and its cards say the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jobyard.edits import (
    Cancel,
    Change,
    Clean,
    Control,
    Drain,
    Move,
    Obliterate,
    Pause,
    Remove,
    Reschedule,
    Resume,
    Retention,
    Revive,
    RunNow,
    SetPriority,
    Sweep,
)
from jobyard.events import EventKind
from jobyard.job import (
    FINISHED,
    PENDING,
    AddOutcome,
    Dedup,
    DedupMode,
    Dependency,
    Group,
    JobSpec,
    JobState,
    OnParentFailure,
    RateKey,
    Reason,
    Retain,
)
from jobyard.lease import (
    Cancelled,
    Claim,
    Done,
    Failed,
    Lease,
    Outcome,
    Released,
    Retried,
    Settlement,
    Snoozed,
    Source,
    Stalled,
)
from jobyard.limit import HoldBack, Limit, Rate
from jobyard.memory import Engine
from jobyard.memory.gates import Gate
from jobyard.memory.step import Step

QUEUES = st.sampled_from(["a", "b"])
IDS = st.integers(0, 12).map(str)
DELAYS = st.sampled_from([0, 0, 3, 10])
COUNT, PER = st.just(2), st.just(7)
KEEPS = st.none() | st.builds(
    Retain, count=st.none() | st.integers(0, 3), age_ms=st.none() | st.integers(0, 20)
)
SPECS = st.builds(
    JobSpec,
    id=IDS,
    queue=QUEUES,
    name=st.sampled_from(["", "n"]),
    channel=st.sampled_from(["", "c"]),
    priority=st.integers(-2, 2),
    lifo=st.booleans(),
    delay_ms=DELAYS,
    ttl_ms=st.sampled_from([None, None, 8, 30]),
    max_crashes=st.integers(1, 2),
    dead_letter=st.booleans(),
    keep_completed=KEEPS,
    keep_failed=KEEPS,
    group=st.none() | st.builds(Group, key=st.sampled_from("gh"), limit=st.integers(1, 2)),
    rate=st.none() | st.builds(RateKey, key=st.sampled_from("rs"), count=COUNT, per_ms=PER),
    dedup=st.none()
    | st.builds(
        Dedup,
        key=st.sampled_from("kl"),
        mode=st.sampled_from(DedupMode),
        ttl_ms=st.none() | st.integers(1, 20),
    ),
    depends_on=st.lists(
        st.builds(Dependency, parent=IDS, on_failure=st.sampled_from(OnParentFailure)),
        max_size=2,
        unique_by=lambda each: each.parent,
    ).map(tuple),
)
OUTCOMES = st.one_of(
    st.just(Done(b"")),
    st.builds(Retried, DELAYS),
    st.builds(Failed, st.sampled_from(Reason)),
    st.builds(Snoozed, DELAYS),
    st.just(Released()),
    st.just(Cancelled()),
    st.just(Stalled()),
)
CHANGES = st.one_of(
    st.just(RunNow()),
    st.builds(Reschedule, delay_ms=DELAYS),
    st.builds(SetPriority, st.integers(-2, 2)),
    st.builds(Revive, reset=st.booleans()),
    st.builds(Cancel, running=st.booleans()),
    st.just(Remove()),
    st.builds(Move, to=st.sampled_from(JobState)),
)
SWEEPS = st.one_of(
    st.builds(Drain, queue=QUEUES, delayed=st.booleans()),
    st.builds(
        Clean,
        states=st.frozensets(st.sampled_from(sorted(FINISHED))),
        older_than_ms=st.integers(0, 10),
        queue=st.none() | QUEUES,
    ),
    st.builds(Obliterate, queue=QUEUES, force=st.just(True)),
    st.builds(
        Retention,
        completed_ms=st.integers(0, 20),
        others_ms=st.integers(0, 20),
        count=st.integers(0, 5),
    ),
)
LIMITED = st.sampled_from([None, "n"])
LIMITS = st.one_of(
    st.builds(
        Limit,
        name=LIMITED,
        concurrency=st.none() | st.integers(1, 3),
        rate=st.none() | st.builds(Rate, count=st.integers(1, 3), per_ms=PER),
    ),
    st.builds(HoldBack, name=LIMITED, ms=st.sampled_from([0, 0, 5, 20])),
)
SOURCES = st.tuples(
    st.builds(
        Source,
        queue=QUEUES,
        names=st.sampled_from([None, ("n",), ("", "n")]),
        channels=st.sampled_from([None, ("",), ("c", "")]),
        limit=st.integers(1, 4),
    )
)


def without_tickets(image: bytes) -> dict[str, list[dict[str, object]]]:
    """Read an image, forgetting the places in line that a new yard gives anew."""
    read: dict[str, list[dict[str, object]]] = msgspec.msgpack.decode(image)
    for card in read["cards"]:
        del card["ticket"]
        card["waits_for"] = sorted(card["waits_for"])  # type: ignore[call-overload]
    return read


class Watched(Engine):
    """An engine that checks, after each step, which queues it said to be drained (EVENTS-6)."""

    @contextmanager
    def _step(self, now: int) -> Iterator[Step]:
        before, cursor = self.busy(now), str(self.yard.log.latest)
        with super()._step(now) as step:
            yield step
        events = self.events(after=cursor).events
        drained = [event.queue for event in events if event.kind is EventKind.DRAINED]
        assert drained == (sorted(before - self.busy(now)) if step.logging else [])

    def busy(self, now: int) -> set[str]:
        """Tell the queues with something waiting, active, or delayed and due."""
        return {
            card.queue
            for card in self.yard.cards.values()
            if card.state in {JobState.WAITING, JobState.ACTIVE}
            or (card.state is JobState.DELAYED and card.due_at <= now)
        }


class Anything(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.engine = Watched()
        self.now = 1_000
        self.leases: list[Lease] = []
        self.claims = 0
        self.starts: dict[tuple[str, str], list[int]] = {}

    @rule(ms=st.integers(1, 12))
    def wait(self, ms: int) -> None:
        self.now += ms

    @rule(unit=st.lists(SPECS, max_size=4))
    def add(self, unit: list[JobSpec]) -> None:
        self.engine.add([tuple(unit)], now=self.now)

    @initialize(unit=st.lists(SPECS, min_size=3, max_size=8))
    def begin(self, unit: list[JobSpec]) -> None:
        self.add_with_parents(unit)

    @rule(unit=st.lists(SPECS, min_size=2, max_size=6))
    def add_with_parents(self, unit: list[JobSpec]) -> None:
        """Add jobs that depend on nothing that there is not."""
        known = set(self.engine.yard.cards)
        jobs = []
        for spec in unit:
            parents = tuple(each for each in spec.depends_on if each.parent in known)
            jobs.append(msgspec.structs.replace(spec, depends_on=parents))
            known.add(spec.id)
        (answers,) = self.engine.add([tuple(jobs)], now=self.now)
        assert all(answer.outcome is not AddOutcome.NO_PARENT for answer in answers)

    @rule(outcome=OUTCOMES)
    def work(self, outcome: Outcome) -> None:
        """Claim a job of any kind and end its run."""
        self.claim((Source(queue="a"), Source(queue="b")), limit=1, ahead=None)
        if self.leases:
            self.engine.settle([Settlement(self.leases[-1], outcome)], now=self.now)

    @rule(sources=SOURCES, limit=st.integers(0, 5), ahead=st.sampled_from([None, None, 5, -5]))
    def claim(self, sources: tuple[Source, ...], limit: int, ahead: int | None) -> None:
        self.claims += 1
        want = Claim(
            lease_id=f"lease-{self.claims}",
            worker="w",
            sources=sources,
            limit=limit,
            ttl_ms=10,
            as_of=None if ahead is None else self.now + ahead,
        )
        peeked = [record.id for record in self.engine.peek(want, now=self.now)]
        claimed = self.engine.claim(want, now=self.now)
        assert [lease.job_id for lease in claimed.leases] == peeked
        assert self.engine.claim(want, now=self.now).leases[: len(peeked)] == claimed.leases
        self.leases += claimed.leases
        self.limits_are_kept(claimed.leases)
        cards = [self.engine.yard.cards[each] for each in peeked]
        for card in cards if ahead is None or ahead < 0 else ():
            if card.rate is not None:
                starts = self.starts.setdefault((card.queue, card.rate.key), [])
                starts.append(self.now)
                assert len(starts) < 3 or starts[-1] - starts[-3] >= 7

    def limits_are_kept(self, given: tuple[Lease, ...]) -> None:
        for queue in self.engine.yard.queues.values():
            for name, limiter in queue.limiters.items():
                mine = [x for x in given if x.queue == queue.name and name in {None, x.name}]
                if not mine:
                    continue
                assert limiter.held_until <= self.now
                assert limiter.concurrency is None or limiter.active <= limiter.concurrency
                assert limiter.rate is None or limiter.started <= limiter.rate.count

    @precondition(lambda self: self.leases)
    @rule(outcome=OUTCOMES, data=st.data())
    def settle(self, outcome: Outcome, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        self.engine.settle([Settlement(lease, outcome)], now=self.now)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def extend(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        self.engine.extend([lease], ttl_ms=15, now=self.now)

    @rule(limit=st.integers(0, 3))
    def reap(self, limit: int) -> None:
        for reaped in self.engine.reap(limit=limit, now=self.now):
            assert reaped.state in FINISHED | PENDING

    @rule(job_id=IDS, wish=CHANGES)
    def change(self, job_id: str, wish: Change) -> None:
        self.engine.change([job_id], wish, now=self.now)

    @rule(queue=QUEUES, wish=st.sampled_from([Pause(), Resume()]) | LIMITS)
    def control(self, queue: str, wish: Control) -> None:
        self.engine.control(queue, wish, now=self.now)

    @rule(wish=SWEEPS, limit=st.integers(1, 4))
    def sweep(self, wish: Sweep, limit: int) -> None:
        while self.engine.sweep(wish, now=self.now, limit=limit).more:
            pass

    @rule(on=st.booleans())
    def subscribe(self, on: bool) -> None:
        self.engine.subscribe("s", ttl_ms=30 if on else 0, now=self.now)

    @rule()
    def reload(self) -> None:
        image = self.engine.dump()
        self.engine = Watched.load(image)
        assert without_tickets(self.engine.dump()) == without_tickets(image)

    @invariant()
    def counts_are_those_of_the_jobs(self) -> None:
        cards = Counter((card.queue, card.state) for card in self.engine.yard.cards.values())
        for name, queue in self.engine.yard.queues.items():
            for state, count in queue.counts.items():
                assert count == cards.pop((name, state), 0)
        assert not cards

    @invariant()
    def every_job_is_in_the_one_place_of_its_state(self) -> None:
        yard = self.engine.yard
        for name, queue in yard.queues.items():
            mine = [card for card in yard.cards.values() if card.queue == name]
            places = {
                JobState.WAITING: list(queue.waiting()),
                JobState.DELAYED: list(queue.delayed.items()),
                JobState.BLOCKED: list(queue.blocked.values()),
                **{state: list(shelf.walk()) for state, shelf in queue.shelves.items()},
            }
            for state, cards in places.items():
                assert sorted(c.no for c in cards) == sorted(c.no for c in mine if c.state is state)
            assert all(lane.live == len(list(lane.items())) > 0 for lane in queue.lanes.values())

    @invariant()
    def leases_hold_the_active_jobs_and_no_others(self) -> None:
        yard = self.engine.yard
        held = {
            (card.id, lease_id)
            for lease_id, holding in yard.holdings.items()
            for card in holding.cards.values()
        }
        active = {c.id: c.lease_id for c in yard.cards.values() if c.lease_id is not None}
        assert held == set(active.items())
        assert {c.id for c in yard.cards.values() if c.state is JobState.ACTIVE} == set(active)
        assert all(holding.cards for holding in yard.holdings.values())
        assert yard.leases.live == len(yard.holdings)

    @invariant()
    def limiters_count_what_is_active(self) -> None:
        cards = self.engine.yard.cards.values()
        active = [card for card in cards if card.state is JobState.ACTIVE]
        for queue in self.engine.yard.queues.values():
            for name, limiter in queue.limiters.items():
                mine = [c for c in active if c.queue == queue.name and name in {None, c.name}]
                assert limiter.active == len(mine)
                assert limiter.started == sum(count for _at, count in limiter.starts)

    @invariant()
    def gates_know_their_jobs(self) -> None:
        cards = self.engine.yard.cards.values()
        for queue in self.engine.yard.queues.values():
            unfinished = [c for c in cards if c.queue == queue.name and not c.state.is_finished]
            assert {c.group.key for c in unfinished if c.group} == set(queue.groups)
            assert {c.rate.key for c in unfinished if c.rate} <= set(queue.rates)
            for key, places in queue.groups.items():
                mine = [c for c in unfinished if c.group and c.group.key == key]
                assert places.members == len(mine)
                assert places.taken == sum(c.placed for c in mine)
                held = [c.id for c in mine if c.state is JobState.BLOCKED and c.gate == Gate.GROUP]
                assert sorted(c.id for c in places.blocked.items()) == sorted(held)
                assert not (held and places.is_free)
                on = [c for c in mine if c.state in {JobState.WAITING, JobState.ACTIVE}]
                assert all(c.placed for c in on)
            for key, slots in queue.rates.items():
                mine = [c for c in unfinished if c.rate and c.rate.key == key]
                assert slots.members == len(mine)
                assert slots.held == sum(c.slot_at is not None for c in mine)
                held = [c.id for c in mine if c.state is JobState.BLOCKED and c.gate == Gate.RATE]
                assert sorted(c.id for c in slots.blocked.items()) == sorted(held)
                assert not (held and slots.held < slots.count)
                assert slots.held + len(slots.free_at) <= max(slots.count, slots.held)

    @invariant()
    def parents_know_their_children(self) -> None:
        yard = self.engine.yard
        for card in yard.cards.values():
            open_parents = {p for p in card.waits_for if yard.cards.get(p) is not None}
            assert open_parents == card.waits_for
            assert bool(card.waits_for) == (
                card.state is JobState.BLOCKED and card.gate == Gate.PARENTS
            )
            for parent in card.waits_for:
                assert not yard.cards[parent].state.is_finished or (
                    yard.cards[parent].state is JobState.STALLED
                )
                assert yard.children[parent][card.id] is card
        for children in yard.children.values():
            assert children
            assert all(yard.cards[each] is card for each, card in children.items())
            assert not any(card.state.is_finished for card in children.values())

    @invariant()
    def nothing_is_left_of_jobs_that_are_gone(self) -> None:
        yard = self.engine.yard
        mortal = {
            card.id
            for card in yard.cards.values()
            if card.expires_at is not None and not card.state.is_finished
        }
        assert set(yard.expiries) == mortal
        assert yard.expiring.live == len(mortal)
        assert yard.lines.keys() <= yard.cards.keys()


TestAnything = Anything.TestCase
TestAnything.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
