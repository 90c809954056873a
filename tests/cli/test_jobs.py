"""`jobyard jobs`."""

import asyncio
import json

import pytest

from jobyard import Discard, QueueService

pytestmark = pytest.mark.usefixtures("url")


async def fill(service: QueueService) -> None:
    """Adds a job of each kind: waiting, delayed, done, failed."""

    @service.handler("emails", "send")
    async def send(job):
        await job.log("hello")
        return {"sent": job.data}

    @service.handler("emails", "bad")
    async def bad(job):
        message = "no address\x1b[31m"
        raise ValueError(message)

    await service.add_job("emails", "send", 1, job_id="done")
    await service.add_job("emails", "bad", job_id="failed")
    await service.run_until_idle()
    await service.add_job("emails", "send", 2, job_id="waiting")
    await service.add_job("reports", "write", job_id="delayed", delay=3_600)


@pytest.fixture
def filled(store) -> None:
    store(fill)


def states(run) -> dict[str, str]:
    return {job["id"]: job["state"] for job in run("jobs", "list", "--json").json["jobs"]}


@pytest.mark.usefixtures("filled")
def test_jobs_are_listed_in_the_order_they_were_added(run) -> None:
    found = run("jobs", "list", "--json").json["jobs"]

    assert [job["id"] for job in found] == ["done", "failed", "waiting", "delayed"]
    assert [job["state"] for job in found] == ["completed", "failed", "waiting", "delayed"]
    failed = found[1]
    assert failed["error"] == {"type": "ValueError", "message": "no address\x1b[31m"}
    assert (failed["reason"], failed["failures"], failed["attempts"]) == ("exhausted", 1, 1)
    assert failed["finished_at"] >= failed["created_at"]


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (["--queue", "reports"], ["delayed"]),
        (["--state", "failed", "--state", "WAITING"], ["failed", "waiting"]),
        (["--name", "bad"], ["failed"]),
        (["--newest-first", "--limit", "2"], ["delayed", "waiting"]),
        (["--limit", "1", "--offset", "1"], ["failed"]),
        (["--created-after", "2001-01-01T00:00:00Z", "--limit", "1"], ["done"]),
        (["--created-before", "2001-01-01T00:00:00Z"], []),
    ],
)
def test_jobs_are_filtered(run, filters: list[str], ids: list[str]) -> None:
    assert [job["id"] for job in run("jobs", "list", *filters, "--json").json["jobs"]] == ids


@pytest.mark.usefixtures("filled")
def test_people_see_a_table_or_lines_where_it_does_not_fit(
    run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    wide = run("jobs", "list", "--state", "failed")
    assert "failed emails/bad failed (exhausted) 1/1" in wide.words
    assert r"ValueError: no address\x1b[31m" in wide.out

    monkeypatch.setenv("COLUMNS", "40")
    narrow = run("jobs", "list", "--state", "failed")
    assert max(map(len, narrow.out.splitlines())) <= 40
    assert r"ValueError: no address\x1b[31m" in narrow.words
    assert "\x1b" not in wide.out + narrow.out

    assert run("jobs", "list", "--state", "dead").out == "no such jobs\n"


@pytest.mark.usefixtures("filled")
def test_a_job_is_shown_with_all_there_is_to_know(run) -> None:
    done = run("jobs", "show", "done", "--json").json
    assert (done["data"], done["data_base64"]) == (1, None)
    assert (done["result"], done["logs"]) == ({"sent": 1}, ["hello"])

    failed = run("jobs", "show", "failed").out
    assert "Traceback (most recent call last)" in failed
    assert "\x1b" not in failed


def test_a_payload_that_is_no_json_is_shown_as_its_bytes(run, store) -> None:
    store(lambda s: s.add_job("emails", "send", b"\xff", job_id="raw", codec="raw"))

    shown = run("jobs", "show", "raw", "--json").json
    assert (shown["data"], shown["data_base64"]) == (None, "/w==")
    assert "/w==" in run("jobs", "show", "raw").out


@pytest.mark.usefixtures("filled")
def test_jobs_are_edited(run) -> None:
    assert run("jobs", "retry", "failed").out == "failed retried\n"
    assert run("jobs", "promote", "delayed").out == "delayed promoted\n"
    assert run("jobs", "cancel", "waiting").out == "waiting cancelled\n"
    assert run("jobs", "remove", "done", "--yes").out == "done removed\n"
    assert states(run) == {"failed": "waiting", "delayed": "waiting", "waiting": "cancelled"}


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["promote", "waiting"], "cannot promote job waiting: it is waiting"),
        (["retry", "done"], "cannot retry job done: it is completed"),
        (["cancel", "done"], "cannot cancel job done: it is completed"),
        (["cancel", "none"], "there is no job 'none'"),
        (["remove", "no id", "-y"], "there is no job 'no id'"),
    ],
)
def test_an_edit_that_cannot_be_made_is_said(run, command: list[str], says: str) -> None:
    before = states(run)
    ran = run("jobs", *command)

    assert (ran.code, ran.out) == (2, "")
    assert says in ran.error
    assert states(run) == before


@pytest.mark.usefixtures("filled")
def test_an_edit_of_which_a_part_was_made_ends_with_1(run) -> None:
    ran = run("jobs", "cancel", "waiting", "done", "--json")

    assert ran.code == 1
    assert json.loads(ran.out) == {
        "jobs": [
            {"id": "waiting", "done": True, "error": None},
            {"id": "done", "done": False, "error": "cannot cancel job done: it is completed"},
        ]
    }
    assert "cannot cancel job done" in ran.err


@pytest.mark.usefixtures("filled")
def test_many_jobs_are_retried_at_once(run) -> None:
    assert run("jobs", "cancel", "waiting").code == 0
    assert run("jobs", "retry", "--all", "--json").json == {"retried": 1}
    assert states(run)["failed"] == "waiting"
    assert run("jobs", "retry", "--queue", "emails", "--state", "cancelled").out == (
        "retried 1 job\n"
    )
    assert states(run)["waiting"] == "waiting"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "say which jobs: their ids, --queue or --all"),
        (["a", "--all"], "one of the three"),
        (["a", "--state", "dead"], "it goes with --queue or --all"),
        (["--all", "--state", "waiting"], "jobs can be retried from"),
    ],
)
def test_what_is_to_be_retried_has_to_be_said(run, arguments: list[str], says: str) -> None:
    ran = run("jobs", "retry", *arguments)

    assert ran.code == 2
    assert says in ran.error


def test_a_running_job_is_asked_to_stop(run, store) -> None:
    async def running(service: QueueService) -> str:
        @service.handler("emails", "send")
        async def send(job):
            await started.put(job.id)
            await asyncio.Event().wait()

        started: asyncio.Queue[str] = asyncio.Queue()
        await service.add_job("emails", "send", job_id="a", max_crashes=100)
        async with service.worker(lease=3):
            await started.get()
            first = await asyncio.to_thread(run, "jobs", "cancel", "a")
            second = await asyncio.to_thread(run, "jobs", "cancel", "a", "--running")
            assert (first.code, second.code) == (2, 0)
            assert "--running asks it to stop" in first.error
            while not (await service.get_job("a")).state.is_finished:
                await asyncio.sleep(0.01)
        return (await service.get_job("a")).state

    assert store(running) == "cancelled"


@pytest.mark.usefixtures("filled")
def test_nothing_is_deleted_without_agreement(run) -> None:
    no = run("jobs", "remove", "done", stdin="n\n")
    assert no.code == 2
    assert "nothing was done: the answer was no" in no.err

    nobody = run("jobs", "remove", "done", stdin="")
    assert nobody.code == 2
    assert "--yes does it without asking" in nobody.err
    assert "done" in states(run)

    yes = run("jobs", "remove", "done", "waiting", stdin="y\n")
    assert (yes.code, yes.out) == (0, "done removed\nwaiting removed\n")
    assert "Delete 2 jobs and all trace of them?" in yes.err


def test_a_job_without_further_runs_is_dead(run, store) -> None:
    async def work(service: QueueService) -> None:
        @service.handler("emails", "send")
        async def send(job):
            reason = "no such user"
            raise Discard(reason)

        await service.add_job("emails", "send", job_id="a", dead_letter=True)
        await service.run_until_idle()

    store(work)
    (job,) = run("jobs", "list", "--state", "dead", "--json").json["jobs"]
    assert (job["id"], job["reason"]) == ("a", "refused")
