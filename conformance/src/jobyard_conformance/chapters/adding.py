"""Adding jobs."""

from __future__ import annotations

from jobyard.job import AddOutcome, JobState
from jobyard_conformance.builders import spec
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard


class Adding(Chapter):
    """What `add` stores and answers."""

    chapter = "adding"

    @clause("ADD-4")
    async def test_a_job_without_delay_is_waiting_due_now(self, yard: Yard) -> None:
        (added,) = await yard.add(spec("a"))
        assert (added.job_id, added.outcome) == ("a", AddOutcome.CREATED)
        assert added.state is JobState.WAITING
        assert (await yard.job("a")).due_at == yard.now
