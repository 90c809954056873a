"""Reporting: progress and logs of runs."""

from __future__ import annotations

import msgspec
import pytest

from jobyard.edits import Remove
from jobyard.lease import Done, Hold, Lease, LogLine, Note, Progress, Released
from jobyard_conformance.builders import spec, specs, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard


class Reporting(Chapter):
    """What `report` writes and `logs` shows."""

    chapter = "reporting"

    @clause("REPORT-1")
    @pytest.mark.case("Z04")
    async def test_only_the_holder_may_write(self, yard: Yard) -> None:
        late = await yard.running(spec("a", max_crashes=9))
        yard.pass_ms(late.until - yard.now + 1)
        await yard.backend.reap(limit=10)
        holder = await yard.claim_one(want(worker="w2"))
        forged = msgspec.structs.replace(holder, lease_id="forged")
        await yard.backend.report([Progress(holder, b"mine"), LogLine(holder, "mine")])
        before = await yard.job("a")
        notes: list[Note] = [
            Progress(late, b"late"),
            LogLine(late, "late"),
            Progress(forged, b"forged"),
            LogLine(forged, "forged"),
        ]
        assert list(await yard.backend.report(notes)) == [Hold.LOST] * 4
        assert await yard.job("a") == before
        assert (await yard.backend.logs("a")).items == ("mine",)

    @clause("REPORT-1")
    async def test_a_settled_run_writes_no_more(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b", "c")])
        done, released, gone = await yard.claim()
        await yard.settle(done, Done())
        await yard.settle(released, Released())
        await yard.settle(gone, Done())
        await yard.change("c", Remove())
        notes: list[Note] = [note for lease in (done, released, gone) for note in _both(lease)]
        assert list(await yard.backend.report(notes)) == [Hold.LOST] * 6
        for each in ("a", "b"):
            assert (await yard.job(each)).progress is None
            assert (await yard.backend.logs(each)).items == ()

    @clause("REPORT-1")
    async def test_a_lost_note_hinders_no_other(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        forged = msgspec.structs.replace(lease, lease_id="forged")
        notes: list[Note] = [LogLine(lease, "1"), LogLine(forged, "x"), Progress(lease, b"50")]
        assert list(await yard.backend.report(notes)) == [Hold.HELD, Hold.LOST, Hold.HELD]
        assert (await yard.backend.logs("a")).items == ("1",)
        assert (await yard.job("a")).progress == b"50"

    @clause("REPORT-2")
    async def test_the_latest_progress_stays_after_the_end(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        assert (await yard.job("a")).progress is None
        await yard.backend.report([Progress(lease, b"10"), Progress(lease, b"20")])
        assert (await yard.job("a")).progress == b"20"
        await yard.backend.report([Progress(lease, b"15")])
        await yard.settle(lease, Done())
        assert (await yard.job("a")).progress == b"15"

    @clause("REPORT-2")
    async def test_progress_stays_from_run_to_run(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        await yard.backend.report([Progress(lease, b"10")])
        await yard.settle(lease, Released())
        assert (await yard.job("a")).progress == b"10"

    @clause("REPORT-3")
    async def test_lines_come_back_in_the_order_written(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        lines = ["first", "", "two\nlines", "Grüße 🎉", " spaces ", "'quoted' \"text\" \\ %s ?"]
        await yard.backend.report([LogLine(lease, line) for line in lines[:3]])
        await yard.backend.report([LogLine(lease, line) for line in lines[3:]])
        assert list((await yard.backend.logs("a")).items) == lines
        await yard.settle(lease, Done())
        assert list((await yard.backend.logs("a")).items) == lines

    @clause("REPORT-3")
    async def test_a_log_goes_on_over_runs(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        await yard.backend.report([LogLine(lease, "one")])
        await yard.settle(lease, Released())
        lease = await yard.claim_one()
        await yard.backend.report([LogLine(lease, "two")])
        assert (await yard.backend.logs("a")).items == ("one", "two")

    @clause("REPORT-3")
    async def test_the_latest_lines_are_kept(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b")])
        mine, other = await yard.claim()
        await yard.backend.report([LogLine(other, "other", keep=3)])
        await yard.backend.report([LogLine(mine, f"{n}", keep=3) for n in range(3)])
        await yard.backend.report([LogLine(mine, f"{n}", keep=3) for n in range(3, 8)])
        assert (await yard.backend.logs("a")).items == ("5", "6", "7")
        assert (await yard.backend.logs("b")).items == ("other",)

    @clause("LOGS-1")
    async def test_a_reader_may_skip_lines(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        await yard.backend.report([LogLine(lease, f"{n}", keep=6) for n in range(10)])
        assert (await yard.backend.logs("a", after=4)).items == ("8", "9")
        assert (await yard.backend.logs("a", after=6)).items == ()
        assert (await yard.backend.logs("a", after=60)).items == ()
        page = await yard.backend.logs("a", after=1, limit=2)
        assert (page.items, page.next) == (("5", "6"), "3")
        page = await yard.backend.logs("a", after=3, limit=3)
        assert (page.items, page.next) == (("7", "8", "9"), None)
        assert (await yard.backend.logs("a", limit=6)).next is None

    @clause("LOGS-1")
    async def test_a_job_without_lines_has_an_empty_page(self, yard: Yard) -> None:
        await yard.add(spec("a"))
        for job_id in ("a", "unknown"):
            page = await yard.backend.logs(job_id)
            assert (page.items, page.next) == ((), None)


def _both(lease: Lease) -> list[Note]:
    return [Progress(lease, b"late"), LogLine(lease, "late")]
