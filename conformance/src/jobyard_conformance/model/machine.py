"""The machine: a Hypothesis state machine that drives both sides and compares them."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from jobyard.edits import Change, Control, Move, Retention, Sweep
from jobyard.events import StoredEvent
from jobyard.job import JobRecord, Unit
from jobyard.lease import (
    Claim,
    Claimed,
    Lease,
    Settlement,
)
from jobyard.limit import HoldBack, Limit
from jobyard.presence import WorkerInfo
from jobyard.schedule import ScheduleRecord
from jobyard_conformance.harness import Harness
from jobyard_conformance.model import shapes, views
from jobyard_conformance.model import units as units_of
from jobyard_conformance.model.calls import as_list, note_of, reap_all, shown, sweep_all
from jobyard_conformance.model.shapes import End, Sentence, Shift, Wish
from jobyard_conformance.model.twins import Given, Refused, Side, Twins, agree
from jobyard_conformance.recording import Transcript

__all__ = ["Model"]

T = TypeVar("T")


class Twin(msgspec.Struct, frozen=True):
    """One run of one job: the lease that each side gave for it."""

    leases: tuple[Lease, Lease]

    def of(self, side: Side) -> Lease:
        """Give the lease of a side."""
        return self.leases[side.index]


def some(strategy: st.SearchStrategy[T], most: int = 3) -> st.SearchStrategy[list[T]]:
    """Draw one or a few."""
    return st.lists(strategy, min_size=1, max_size=most)


class Model(RuleBasedStateMachine):
    """Every operation of the contract, on both sides; after each, all that can be seen is equal."""

    def __init__(self, harness: Harness, transcript: Transcript) -> None:
        super().__init__()
        self.twins = Twins(harness, transcript)
        self.given: list[Twin] = []
        self.claims = 0
        self.by_hand = False
        self.limited = False
        self.held_back = False

    def teardown(self) -> None:
        """Let go of both sides."""
        self.twins.close()

    # -- time and producing -------------------------------------------------------------------

    @rule(ms=shapes.passing)
    def time_passes(self, ms: int) -> None:
        """Move the clock of both sides."""
        self.twins.clock.advance(ms=ms)

    @initialize(
        units=some(units_of.units()),
        shifts=some(shapes.shifts),
        held_back=st.sampled_from((True, True, False)),
    )
    def begin(self, units: list[Unit], shifts: list[Shift], *, held_back: bool) -> None:
        """Begin with some jobs; in some of the examples nothing holds any job back."""
        self.held_back = held_back
        self.add(units)
        self.work(shifts)

    @rule(units=some(units_of.units()))
    def add(self, units: list[Unit]) -> None:
        """Add jobs, of which some ids are there already."""
        asked = [self._unit(unit) for unit in units]
        self.twins.same("ADD", lambda side: as_list(side.acting.add(asked)))

    def _unit(self, unit: Unit) -> Unit:
        if not self.held_back:
            return units_of.plain(unit)
        return units_of.related(unit, sorted(self.twins.ours.records))

    # -- working ------------------------------------------------------------------------------

    @rule(wish=shapes.wishes)
    def claim(self, wish: Wish) -> None:
        """Claim anew, having peeked."""
        self._claim(wish)

    @rule(shifts=some(shapes.shifts))
    def work(self, shifts: list[Shift]) -> None:
        """Let time pass, claim as most workers do, and end some of the runs."""
        for shift in shifts:
            self.twins.both(lambda side: side.look())
            self.twins.clock.advance(ms=shift.ms)
            before = len(self.given)
            self._claim(shift.wish)
            ended = zip(shift.outcomes, self.given[before:], strict=False)
            self._end([(End(0, outcome), twin) for outcome, twin in ended])

    def _claim(self, wish: Wish) -> None:
        want = self._want(wish)
        self._clear()
        self._peek(want)
        self._take(want, *self.twins.both(lambda side: side.claim(want)))

    @rule(pick=shapes.picks, wish=shapes.wishes)
    def repeat_a_claim(self, pick: int, wish: Wish) -> None:
        """Claim with the id of a claim of which something is held (CLAIM-8)."""
        self._clear()
        twin = self._pick(pick, "held")
        if twin is None or len({each.lease_id for each in twin.leases}) > 1:
            return
        if not wish.limit or not wish.sources:
            return
        want = msgspec.structs.replace(self._want(wish), lease_id=twin.leases[0].lease_id)
        answers = self.twins.both(lambda side: side.acting.claim(want))
        agree("CLAIM-8", *[self._repeated(each) for each in answers])

    def _repeated(self, answer: Claimed | Refused) -> object:
        if isinstance(answer, Refused):
            return answer
        shown = sorted((views.lease(each) for each in answer.leases), key=lambda it: it.job_id)
        return shown, answer.now, None if self.limited else answer.next_due

    @rule(ends=some(shapes.ends, 4), wish=st.none() | shapes.wishes)
    def settle(self, ends: list[End], wish: Wish | None) -> None:
        """End runs, with a claim in the same call or without."""
        chosen = [(end, twin) for end in ends if (twin := self._pick(end.pick, end.kind))]
        self._end(chosen, wish)

    def _end(self, chosen: list[tuple[End, Twin]], wish: Wish | None = None) -> None:
        want = None if wish is None else self._want(wish)
        if want is not None:
            self._clear()

        async def on(side: Side) -> tuple[list[str], Given | None]:
            asked = [
                Settlement(self._lease(twin, end.kind, side), end.outcome, end.ran_ms)
                for end, twin in chosen
            ]
            answer = await side.acting.settle(asked, claim=want)
            given = None
            if want is not None and answer.claimed is not None:
                given = await side.claim(want, answer.claimed)
            return [each.value for each in answer.results], given

        theirs, ours = self.twins.both(on)
        if isinstance(theirs, Refused) or isinstance(ours, Refused):
            agree("SETTLE", theirs, ours)
            return
        agree("SETTLE", theirs[0], ours[0])
        if want is None or theirs[1] is None or ours[1] is None:
            agree("SETTLE-12", theirs[1], ours[1])
            return
        self._take(want, theirs[1], ours[1])

    @rule(picks=st.lists(st.tuples(shapes.picks, shapes.kinds), max_size=3), ttl_ms=shapes.short)
    def extend(self, picks: list[tuple[int, str]], ttl_ms: int) -> None:
        """Extend leases, each once."""
        found = {id(twin): (twin, kind) for n, kind in picks if (twin := self._pick(n, kind))}
        self.twins.same(
            "EXTEND",
            lambda side: as_list(
                side.acting.extend(
                    [self._lease(twin, kind, side) for twin, kind in found.values()], ttl_ms=ttl_ms
                )
            ),
        )

    @rule(sentences=some(shapes.sentences))
    def report(self, sentences: list[Sentence]) -> None:
        """Report progress and log lines."""
        found = [(each, twin) for each in sentences if (twin := self._pick(each.pick, each.kind))]
        self.twins.same(
            "REPORT",
            lambda side: as_list(
                side.acting.report(
                    [note_of(each, self._lease(twin, each.kind, side)) for each, twin in found]
                )
            ),
        )

    @rule(limit=st.sampled_from((1, 2, 1_000)))
    def reap(self, limit: int) -> None:
        """Reap until nothing is left: which come first is left open."""
        most = self._step(limit)
        self.twins.same("REAP", lambda side: reap_all(side, most))

    # -- changing -----------------------------------------------------------------------------

    @rule(ids=st.lists(shapes.job_ids, unique=True, min_size=1, max_size=3), change=shapes.changes)
    def change(self, ids: list[str], change: Change) -> None:
        """Change some jobs, of which not all may be there."""
        self.by_hand = isinstance(change, Move)
        self.twins.same("CHANGE", lambda side: as_list(side.acting.change(ids, change)))

    @rule(queue=shapes.queues, control=shapes.controls)
    def control(self, queue: str, control: Control) -> None:
        """Pause, resume or declare a queue."""
        self.twins.same("CONTROL", lambda side: side.acting.control(queue, control))

    @rule(queue=shapes.queues, control=shapes.limits_and_holds)
    def limit(self, queue: str, control: Limit | HoldBack) -> None:
        """Limit or hold a queue, or a name in it."""
        self.limited = True
        self.twins.same("LIMIT", lambda side: side.acting.control(queue, control))

    @rule(sweep=shapes.sweeps, limit=st.sampled_from((2, 1_000)))
    def sweep(self, sweep: Sweep, limit: int) -> None:
        """Sweep until nothing is left: which go first is left open."""
        # What retention takes first decides what is beyond its counts: it goes in one step.
        most = 1_000 if isinstance(sweep, Retention) else self._step(limit)
        self.twins.same("SWEEP", lambda side: sweep_all(side, sweep, most))

    # -- schedules and workers ----------------------------------------------------------------

    @rule(schedules=some(shapes.schedules))
    def put_schedules(self, schedules: list[ScheduleRecord]) -> None:
        """Store schedules, each key once."""
        found = list({each.key: each for each in schedules}.values())
        self.twins.same("SCHED-1", lambda side: side.acting.put_schedules(found))

    @rule(schedule=shapes.schedules, as_stored=st.booleans(), forget=st.booleans())
    def swap_schedule(self, schedule: ScheduleRecord, *, as_stored: bool, forget: bool) -> None:
        """Put a schedule in the place of another, which may be there or not."""
        key = schedule.key

        async def swap(side: Side) -> bool:
            page = await side.acting.schedules()
            stored = {each.key: each for each in page.items}.get(key)
            old = stored if as_stored else schedule
            return await side.acting.swap_schedule(key, old=old, new=None if forget else schedule)

        self.twins.same("SCHED-6", swap)

    @rule(keys=st.lists(st.sampled_from(("s1", "s2", "s3")), unique=True))
    def drop_schedules(self, keys: list[str]) -> None:
        """Forget schedules."""
        self.twins.same("SCHED-2", lambda side: side.acting.drop_schedules(keys))

    @rule(record=shapes.schedules, jobs=st.just(()) | units_of.units())
    def fire(self, record: ScheduleRecord, jobs: Unit) -> None:
        """Fire a tick, which may not be the one that is due."""
        expected = record.last_at or 0
        unit = self._unit(jobs)
        self.twins.same(
            "SCHED-4",
            lambda side: side.acting.fire(
                record.key, expected=expected, next_at=record.next_at, jobs=unit
            ),
        )

    @rule(worker=shapes.workers, ttl_ms=shapes.short)
    def beat(self, worker: WorkerInfo, ttl_ms: int) -> None:
        """Tell that a worker lives, or stops."""
        self.twins.same("WORKER", lambda side: side.acting.beat(worker, ttl_ms=ttl_ms))

    # -- comparing ----------------------------------------------------------------------------

    @invariant()
    def nothing_differs(self) -> None:
        """Compare all that can be seen."""
        twins, now = self.twins, self.twins.now
        twins.both(lambda side: side.look())
        theirs, ours = twins.sides
        agree("GET-2, jobs:", *[shown(side) for side in twins.sides])
        agree("ADD-2, order:", *[views.line(each.records.values()) for each in (theirs, ours)])
        twins.same("QUEUES:", lambda side: views.queues(side.looking, now=now))
        self._compare_events()
        twins.same("METRICS:", lambda side: views.counted(side.looking, now=now))
        twins.same("FIND:", lambda side: views.pages(side.looking))
        twins.same("LOGS:", lambda side: views.lines(side.looking))
        twins.same("SCHED:", lambda side: views.planned(side.looking))
        twins.same("WORKER:", lambda side: as_list(side.looking.workers()))

    def _compare_events(self) -> None:
        async def news(side: Side) -> object:
            found: list[StoredEvent] = []
            while (page := await side.looking.events(after=side.cursor)).events:
                found += page.events
                side.cursor = page.cursor
            return views.told(found, by_hand=self.by_hand)

        self.twins.same("EVENTS:", news)
        self.by_hand = False

    def _peek(self, want: Claim) -> None:
        theirs, ours = self.twins.both(lambda side: views.next_in_line(side.acting, want))
        if (
            isinstance(theirs, list)
            and isinstance(ours, list)
            and any(map(self._has_expired, self.twins.ours.records.values()))
        ):
            ours = ours[: len(theirs)]  # a claim that meets expired jobs may fall short
        agree("PEEK-1:", theirs, ours)

    def _take(self, want: Claim, theirs: Given | Refused, ours: Given | Refused) -> None:
        """Compare what a claim gave, and keep the leases."""
        if isinstance(theirs, Refused) or isinstance(ours, Refused):
            agree("CLAIM:", theirs, ours)
            return
        agree("CLAIM:", *[[views.lease(it) for it in each.leases] for each in (theirs, ours)])
        agree("ALL-2:", theirs.now, ours.now)
        if not self._leaves_due_open(want):
            agree("CLAIM-10, LIMIT-5:", theirs.next_due, ours.next_due)
        for side, given in zip(self.twins.sides, (theirs, ours), strict=True):
            side.note(given.leases)
        self.given += [Twin(pair) for pair in zip(theirs.leases, ours.leases, strict=True)]
        self._level()

    def _leaves_due_open(self, want: Claim) -> bool:
        """Whether limits let `next_due` depend on what is ended late, or on an empty wish."""
        empty = not want.limit or any(not source.limit for source in want.sources)
        expired = map(self._has_expired, self.twins.ours.records.values())
        return self.limited and (empty or any(expired))

    def _step(self, limit: int) -> int:
        """Tell how much to take in one step.

        Which of many go first is left open, and with what they hold back it would show: a child of
        whose parent the turn comes first ends, and is not removed.
        """
        return 1_000 if self.held_back else limit

    def _clear(self) -> None:
        """End on both sides what is past its time, if others may wait for its end.

        A claim may end those that it meets or leave them (CLAIM-11), and so may give what they
        held back or not.
        """
        if self.held_back and any(map(self._has_expired, self.twins.ours.records.values())):
            self.twins.same("REAP", lambda side: reap_all(side, 1_000))
            self.twins.both(lambda side: side.look())

    def _level(self) -> None:
        """Reap on both sides if the backend's claim has ended jobs past their time (CLAIM-11)."""
        self.twins.both(lambda side: side.look())
        theirs, ours = (side.records for side in self.twins.sides)
        if not any(
            not mine.state.is_finished
            and (job_id not in theirs or theirs[job_id].state.is_finished)
            for job_id, mine in ours.items()
            if mine.expires_at is not None and mine.expires_at <= self.twins.now
        ):
            return
        few, many = self.twins.both(lambda side: reap_all(side, 1_000))
        if isinstance(few, list) and isinstance(many, list):
            agree("CLAIM-11:", few, [each for each in many if each in few])

    # -- picking ------------------------------------------------------------------------------

    def _want(self, wish: Wish) -> Claim:
        self.claims += 1
        return Claim(
            lease_id=f"lease-{self.claims}",
            worker=wish.worker,
            sources=wish.sources,
            limit=wish.limit,
            ttl_ms=wish.ttl_ms,
            as_of=None if wish.ahead_ms is None else self.twins.now + wish.ahead_ms,
        )

    def _pick(self, number: int, kind: str) -> Twin | None:
        """Choose a run: of those that are held, or of all there were."""
        ours = self.twins.ours
        held = [twin for twin in self.given if ours.holds(twin.of(ours))]
        among = self.given if kind == "stale" else held
        return among[number % len(among)] if among else None

    def _lease(self, twin: Twin, kind: str, side: Side) -> Lease:
        lease = twin.of(side)
        if kind == "forged":
            return msgspec.structs.replace(lease, lease_id="forged")
        if kind == "crossed":
            other = max(side.records.values(), key=lambda each: each.no)
            if other.id != lease.job_id and not any(
                it.of(side).job_id == other.id and it.of(side).lease_id == lease.lease_id
                for it in self.given
            ):
                return msgspec.structs.replace(lease, job_id=other.id, no=other.no)
            return msgspec.structs.replace(lease, lease_id="forged")
        return lease

    def _has_expired(self, record: JobRecord) -> bool:
        """Tell whether a job is past its time to live and has not been ended."""
        over = record.expires_at is not None and record.expires_at <= self.twins.now
        return over and not record.state.is_finished
