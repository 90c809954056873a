"""Histories: what many handles and processes did to one yard, written down, checked afterwards.

    with Recorder(path) as recorder:
        session = recorder.observe(handle, "worker-1")
        await session.backend.claim(want)      # written down, before the call and after
    faults = check(read_history([path]))

`python -m jobyard_conformance.history FILE ...` checks histories that were kept.
"""

from __future__ import annotations

from jobyard_conformance.history.checker import INVARIANTS, check, counterexample, timeline
from jobyard_conformance.history.reading import History, Op, assemble, read_history, read_records
from jobyard_conformance.history.recorder import Recorder, Session, scheduled
from jobyard_conformance.history.records import JobNote, Kind, Phase, Record
from jobyard_conformance.history.verdict import Violation

__all__ = [
    "INVARIANTS",
    "History",
    "JobNote",
    "Kind",
    "Op",
    "Phase",
    "Record",
    "Recorder",
    "Session",
    "Violation",
    "assemble",
    "check",
    "counterexample",
    "read_history",
    "read_records",
    "scheduled",
    "timeline",
]
