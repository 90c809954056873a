"""Histories made up, for the tests of the checker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from jobyard_conformance.history import JobNote, Kind, Phase, Record, assemble, check


@dataclass
class Tale:
    """A history made up: each call takes a millisecond, of this host's clock and the store's."""

    records: list[Record] = field(default_factory=list)
    now: int = 1_000
    number: int = 0

    def op(self, kind: Kind, *asked: JobNote, who: str = "w1", **fields: Any) -> None:
        """An operation and its answer: `answers` of each job, or none at all with `lost`."""
        lost, answers = fields.pop("lost", False), fields.pop("answers", {})
        told = fields.pop("told", None)
        self.number += 1
        common: dict[str, Any] = {"kind": kind, "session": who, "pid": 1, "number": self.number}
        first = Record(
            **common, phase=Phase.INVOKE, at=self.now * 10, store_at=self.now, jobs=asked, **fields
        )
        self.records.append(first)
        self.now += 1
        if lost:
            return
        jobs = asked if told is None else told
        jobs = tuple(msgspec.structs.replace(each, **answers) for each in jobs)
        self.records.append(
            Record(
                **common,
                phase=Phase.OK,
                at=self.now * 10,
                store_at=self.now,
                jobs=jobs,
                text=fields.get("text", ""),
                again=fields.get("again", False),
            )
        )
        self.now += 1

    def tell(self, kind: Kind, *jobs: JobNote, who: str = "w1", **fields: Any) -> None:
        """A record that stands alone."""
        self.number += 1
        self.now += 1
        self.records.append(
            Record(
                kind=kind,
                phase=Phase.OK,
                session=who,
                pid=1,
                number=self.number,
                at=self.now * 10,
                jobs=jobs,
                **fields,
            )
        )

    def add(self, *ids: str, lost: bool = False, **fields: Any) -> None:
        jobs = [JobNote(id=each, queue="q", **fields) for each in ids]
        self.op(Kind.ADD, *jobs, lost=lost, answers={"answer": "created"})

    def claim(self, job: str, fence: int, *, who: str = "w1", ttl: int = 50, **note: Any) -> None:
        given = {"queue": "q", "lease": f"L{fence}", "fence": fence, "no": int(job[1:]), **note}
        given.setdefault("until", self.now + ttl)
        jobs = (JobNote(id=job, **given),)
        whole = {"queues": ("q",), "whole": True, "limit": 1, "lease": f"L{fence}"}
        self.op(Kind.CLAIM, who=who, told=jobs, **whole)

    def settle(self, job: str, fence: int, outcome: str = "Done", **fields: Any) -> None:
        answer, lost = fields.pop("answer", "ok"), fields.pop("lost", False)
        who = fields.pop("who", "w1")
        note = JobNote(id=job, lease=f"L{fence}", fence=fence, outcome=outcome, **fields)
        self.op(Kind.SETTLE, note, who=who, lost=lost, answers={"answer": answer})

    def reap(self, job: str, fence: int, *, state: str = "waiting", crashes: int = 0) -> None:
        note = JobNote(id=job, fence=fence, state=state, crashes=crashes)
        self.op(Kind.REAP, told=(note,), who="r")

    def extend(self, job: str, fence: int, *, ttl_ms: int = 100) -> None:
        note = JobNote(id=job, lease=f"L{fence}", fence=fence)
        self.op(Kind.EXTEND, note, ttl_ms=ttl_ms, answers={"answer": "held"})

    def start(self, job: str, fence: int) -> None:
        self.tell(Kind.START, JobNote(id=job, lease=f"L{fence}", fence=fence))

    def final(
        self,
        *jobs: JobNote,
        drained: bool = True,
        fired: dict[str, int] | None = None,
        **counts: int,
    ) -> None:
        found: dict[str, int] = {}
        for each in jobs:
            found[each.state] = found.get(each.state, 0) + 1
        self.tell(Kind.FINAL, *jobs, counts=counts or found, drained=drained, fired=fired or {})

    def faults(self) -> list[tuple[str, str]]:
        return [(each.invariant, each.job_id) for each in check(assemble(self.records))]


def ended(job: str, fence: int = 1, **fields: Any) -> JobNote:
    given = {"queue": "q", "state": "completed", "fence": fence, "no": int(job[1:]), **fields}
    return JobNote(id=job, **given)
