"""Storing jobs of which some are tied to others: by a group, a rate, a key or a dependency.

They are placed one after another, as the contract has them, and written in bulk.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobyard.job import Added, AddOutcome, JobSpec, OnParentFailure, Unit
from jobyard_sql.codes import (
    BLOCKED,
    COMPLETED,
    DELAYED,
    GATED,
    LIFO,
    PARENT,
    STALLED,
    STATES,
    WAITING,
    Tally,
)
from jobyard_sql.codes import Gate as Kind
from jobyard_sql.looking import Standing
from jobyard_sqlite.dependants import fail_child
from jobyard_sqlite.ending import failed_state, mark_parent
from jobyard_sqlite.keys import hold_key, meet_holder
from jobyard_sqlite.passing import ask_gates, enrol, fill, fresh, serve
from jobyard_sqlite.specs import (
    Placed,
    Row,
    flags_of,
    gated_row,
    job_row,
    newcomer,
    note,
    tell_added,
    tied_flags_of,
)
from jobyard_sqlite.transaction import Transaction
from jobyard_sqlite.transitions import json_list, standing_by_id, state_of

__all__ = ["TiedAdd"]


class TiedAdd:
    """One call: what it knows of the jobs there are, and what it has not written yet.

    `there` has the number of each job that is asked for by its id, `open` the ids of those that
    this call added and that have not ended. Whatever reads or moves a job writes all that is left
    to be written before.
    """

    def __init__(self, tx: Transaction, units: Sequence[Unit]) -> None:
        self.tx = tx
        self.units = units
        self.first = 0
        self.there: dict[str, int] = {}
        self.open: set[str] = set()
        self.parents: dict[str, Standing] = {}
        self.wanted = {each.parent for unit in units for spec in unit for each in spec.depends_on}
        self.jobs: list[Placed] = []
        self.gated: list[Row] = []
        self.deps: list[Row] = []
        self.places: dict[int, list[Row]] = {WAITING: [], DELAYED: [], BLOCKED: []}

    def add(self) -> list[tuple[Added, ...]]:
        """Store the units; answer for each job."""
        self._look()
        answers = [self._add_unit(unit) for unit in self.units]
        self.write()
        return answers

    def _look(self) -> None:
        """Read which of the jobs that are asked for are there."""
        ids = {spec.id for unit in self.units for spec in unit} | self.wanted
        self.there = dict(self.tx.rows(self.tx.gating.there, (json_list(ids),)))
        self.parents = {}

    def _add_unit(self, unit: Unit) -> tuple[Added, ...]:
        known: set[str] = set()
        for spec in unit:
            for each in spec.depends_on:
                if each.parent not in known and each.parent not in self.there:
                    return tuple(Added(it.id, AddOutcome.NO_PARENT, None) for it in unit)
            known.add(spec.id)
        others: dict[str, str] = {}
        return tuple(self._add_one(spec, others) for spec in unit)

    def _add_one(self, spec: JobSpec, others: dict[str, str]) -> Added:
        """Store one job; `others` notes whose jobs stand for those of its unit not added."""
        tx = self.tx
        if spec.id in self.there:
            self.write()
            found = standing_by_id(tx, (spec.id,))[spec.id]
            return Added(spec.id, AddOutcome.EXISTS, state_of(found))
        if spec.dedup is not None:
            met = meet_holder(tx, spec, spec.dedup, self.write)
            if met is not None:
                others[spec.id] = met.job_id
                self.parents.pop(met.job_id, None)
                return met
        job = self._place(spec)
        if spec.dedup is not None:
            hold_key(tx, job, spec.dedup)
        if job.flags & GATED:
            job = self._enrol(job, spec)
        if spec.depends_on:
            named = [
                (others.get(each.parent, each.parent), each.on_failure) for each in spec.depends_on
            ]
            state = self._enter_after_parents(job, spec, named)
        else:
            state = self._enter(job, spec)
        return Added(spec.id, AddOutcome.CREATED, STATES[state])

    def _place(self, spec: JobSpec) -> Standing:
        """Give a job its number."""
        tx, now = self.tx, self.tx.now
        queue = tx.make_queue(spec.queue)
        lane = tx.lane(queue, spec.channel, spec.name)
        no = tx.take_jobs(1)
        flags = flags_of(spec) | tied_flags_of(spec) | (PARENT if spec.id in self.wanted else 0)
        due = max(now + spec.delay_ms if spec.run_at is None else spec.run_at, now)
        self.there[spec.id] = no
        self.open.add(spec.id)
        tx.delta(queue.id, queue.name).tally(Tally.ADDED)
        if tx.listening:
            tell_added(tx, (spec,))
        return newcomer(spec, no=no, queue=queue.id, lane=lane, due=due, now=now, flags=flags)

    def _enrol(self, job: Standing, spec: JobSpec) -> Standing:
        """Let the gates of a job know of it, and its limits hold for them."""
        tx = self.tx
        if (group := spec.group) is not None:
            places = enrol(tx, job.queue_id, Kind.GROUP, group.key, group.limit, None)
            raised = group.limit > places.room
            places.room = group.limit
            if raised:
                self.write()
                fill(tx, places, spec.queue)
            job = job._replace(grp=places.id, placed=0)
        if (rate := spec.rate) is not None:
            slots = enrol(tx, job.queue_id, Kind.RATE, rate.key, rate.count, rate.per_ms)
            if (slots.room, slots.per_ms) != (rate.count, rate.per_ms):
                self.write()
                tx.gates.resize(slots, rate.count, rate.per_ms, tx.now)
                serve(tx, slots)
            job = job._replace(rate=slots.id)
        return job

    # -- into a first state

    def _enter(self, job: Standing, spec: JobSpec) -> int:
        """Let a job be due at its due, or hold it back."""
        tx, due = self.tx, job.due
        line = None
        if due <= tx.now and job.flags & GATED:
            line, job = ask_gates(tx, job)
            if line is None and job.slot_at is not None:
                due = max(due, job.slot_at)
        if line is not None:
            return self._put(job, spec, BLOCKED, due=due, line=line)
        return self._put(job, spec, DELAYED if due > tx.now else WAITING, due=due)

    def _put(self, job: Standing, spec: JobSpec, state: int, *, due: int, line: int = 0) -> int:
        """Let a job be written, and its first state."""
        self._write_later(job, spec, due=due)
        no, queue, prio = job.no, job.queue_id, job.prio
        if job.flags & LIFO and state != DELAYED:
            due, no = -due, -no
        rest = (job.lane, 0, 0, job.flags, job.grp)
        if state == BLOCKED:
            self.places[state].append((line, prio, due, no, queue, *rest))
        else:
            self.places[state].append((queue, prio, due, no, *rest))
        delta = self.tx.of(job)
        delta.gauges[state] += 1
        delta.woken |= state != BLOCKED
        return state

    def _write_later(self, job: Standing, spec: JobSpec, *, due: int) -> None:
        self.jobs.append(Placed(spec, job.no, job.queue_id, job.lane, due, job.flags))
        if job.flags & GATED:
            self.gated.append(gated_row(job))

    def _enter_after_parents(
        self, job: Standing, spec: JobSpec, parents: Sequence[tuple[str, OnParentFailure]]
    ) -> int:
        """Let a job wait for its parents, or go where they lead if all have ended."""
        waits, fails = False, False
        for at, (parent, on_failure) in enumerate(parents):
            awaited = parent in self.open and parent in self.wanted
            found = None if awaited else self._parent(parent)
            if found is not None and found.state != COMPLETED:
                awaited = not state_of(found).is_finished or found.state == STALLED
                fails |= not awaited and on_failure is OnParentFailure.FAIL
            ignored = on_failure is OnParentFailure.IGNORE
            attached = awaited or found is not None
            self.deps.append((job.no, at, parent, ignored, attached, awaited))
            waits |= awaited
        if fails:
            return self._fail(job, spec)
        if waits:
            return self._put(job, spec, BLOCKED, due=job.due, line=-job.queue_id)
        return self._enter(job, spec)

    def _parent(self, job_id: str) -> Standing | None:
        """Read a parent, and note on it that it has children."""
        found = self.parents.get(job_id)
        if found is not None and found.flags & PARENT:
            return found
        if job_id in self.open:
            self.write()
        if not self.parents:
            self.parents = standing_by_id(self.tx, self.wanted & self.there.keys() - self.open)
        found = self.parents.get(job_id)
        if found is None:
            found = standing_by_id(self.tx, (job_id,)).get(job_id)
        else:
            found = fresh(self.tx, found)
        if found is not None:
            mark_parent(self.tx, found)
            found = self.parents[job_id] = found._replace(flags=found.flags | PARENT)
        return found

    def _fail(self, job: Standing, spec: JobSpec) -> int:
        """End a job at once for a parent that had failed before."""
        self._write_later(job, spec, due=job.due)
        self.write()
        fail_child(self.tx, job)
        self.open.discard(job.id)
        self._look()
        return failed_state(job)

    # -- writing

    def write(self) -> None:
        """Write what has not been written."""
        tx, jobs = self.tx, self.jobs
        if not jobs:
            return
        tx.run_many(tx.moves.add_job, [job_row(job, tx.now) for job in jobs])
        for sql, rows in (
            (tx.gating.put_gated, self.gated),
            (tx.gating.put_dep, self.deps),
            (tx.moves.put_ready, self.places[WAITING]),
            (tx.moves.put_delayed, self.places[DELAYED]),
            (tx.gating.put_blocked, self.places[BLOCKED]),
        ):
            if rows:
                tx.run_many(sql, rows)
                rows.clear()
        for job in jobs:
            note(tx, job)
        jobs.clear()
