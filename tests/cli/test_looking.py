"""`jobyard workers`, `events`, `migrate` and `bench`."""

import asyncio
import json
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobyard import QueueService


def test_workers_are_listed(run, store) -> None:
    async def work(service: QueueService) -> None:
        @service.handler("emails", "send")
        async def send(job):
            return None

        async with service.worker(name="mine", concurrency=3):
            while not await service.list_workers():
                await asyncio.sleep(0.01)
            found = (await asyncio.to_thread(run, "workers", "--json")).json["workers"]
            text = (await asyncio.to_thread(run, "workers")).words
        assert [(w["concurrency"], w["queues"], w["state"]) for w in found] == [
            (3, ["emails"], "running")
        ]
        assert found[0]["id"].startswith("mine:")
        assert found[0]["up_seconds"] >= found[0]["seen_seconds_ago"] >= 0
        assert "running 0/3 emails" in text

    store(work)
    assert run("workers").out == "no workers: nobody runs jobs\n"


async def with_events(run, service: QueueService, *arguments: str):
    """Follows events while jobs are added, until as many have come as it should tell."""
    following = asyncio.create_task(asyncio.to_thread(run, "events", *arguments))
    while not following.done():
        await service.add_job("emails", "send", {"n": 1})
        await service.add_job("reports", "write")
        await asyncio.sleep(0.02)
    return await following


def test_events_are_told_as_they_happen(run, store) -> None:
    ran = store(lambda s: with_events(run, s, "--limit", "2", "--queue", "emails"))

    assert (ran.code, ran.err) == (0, "")
    first, second = ran.out.splitlines()
    assert "  added" in first
    assert "emails/send" in first
    assert "reports" not in ran.out
    assert len(second.split()) >= 4


def test_events_are_told_as_lines_of_json(run, store) -> None:
    ran = store(lambda s: with_events(run, s, "--limit", "3", "--event", "added", "--json"))

    events = [json.loads(line) for line in ran.out.splitlines()]
    assert {event["event"] for event in events} == {"added"}
    assert all(event["job_id"] and event["at"] and event["id"] for event in events)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--event", "fialed"], "there is no event fialed; there are active, added"),
        (["--since", "yesterday"], "since is the id of an event"),
        (["--limit", "0"], "'--limit'"),
    ],
)
def test_events_that_cannot_be_followed(run, url, arguments: list[str], says: str) -> None:
    ran = run("events", *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert says in ran.error


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_is_how_following_ends(command: list[str], url: str, store) -> None:
    with subprocess.Popen([*command, "events", url], stdout=subprocess.PIPE) as process:
        pipe = process.stdout
        assert pipe is not None

        async def until_told(service: QueueService) -> None:
            while not select.select([pipe], [], [], 0)[0]:
                await service.add_job("emails", "send")
                await asyncio.sleep(0.02)

        store(until_told)
        process.send_signal(signal.SIGINT)
        pipe.read()

    assert process.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_interrupts_any_other_command(command: list[str], url: str, store) -> None:
    store(lambda s: s.add_job("emails", "send"))
    with subprocess.Popen(
        [*command, "queue", "drain", "emails", "--url", url],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        while process.stderr.read(1) not in {b"?", b""}:
            pass
        process.send_signal(signal.SIGINT)
        process.stderr.read()

    assert process.returncode == 130


def test_a_store_is_prepared(run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"

    before = run("migrate", url, "--check")
    assert before.code == 1
    assert "is not prepared for this version" in before.out
    assert run("migrate", url, "--json").json == {
        "url": url,
        "namespace": "jobyard",
        "prepared": True,
    }
    assert run("migrate", url).out == f"{url} (namespace jobyard) is prepared\n"
    assert run("migrate", url, "--check").code == 0
    assert run("stats", url).code == 0


def test_the_sql_is_printed_without_a_store(run) -> None:
    url = "postgresql://nobody@localhost:1/none"

    text = run("migrate", url, "--sql", "--schema", "queue").out
    assert "CREATE TABLE" in text
    assert "queue." in text
    assert "CREATE TABLE" in run("migrate", url, "--sql", "--json").json["sql"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["redis://localhost:1", "--sql"], "Unsupported"),
        (["sqlite:///x.db", "--schema", "a"], "it belongs to --sql"),
        (["sqlite:///x.db", "--sql", "--check"], "give --sql or --check"),
        (["sqlite:///x.db", "--url", "sqlite:///x.db"], "as an argument or with --url, not both"),
    ],
)
def test_a_migration_that_cannot_be_made(run, arguments: list[str], says: str) -> None:
    ran = run("migrate", *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert says in ran.error
    assert not Path("x.db").exists()


def test_a_store_is_measured_and_left_as_it_was(run, url: str, store) -> None:
    store(lambda s: s.add_job("emails", "send"))
    found = run("bench", "--jobs", "10", "--json").json

    assert found["namespace"] == "jobyard_bench"
    assert [each["jobs"] for each in found["measures"]] == [1, 50, 10, 61]
    assert all(each["per_second"] > 0 for each in found["measures"])
    assert 0 < found["pick_up_ms"]["median"] <= found["pick_up_ms"]["p95"]
    assert run("stats", "--namespace", "jobyard_bench", "--json").json["queues"] == []
    assert run("stats", "--json").json["totals"]["total"] == 1


def test_what_was_measured_is_shown_to_people(run, url: str) -> None:
    out = run("bench", url, "--jobs", "10").words

    assert "add one after the other 1 " in out
    assert "an idle worker begins a job" in out


@pytest.mark.parametrize("command", [["stats"], ["doctor"], ["add", "emails", "--url"]])
def test_a_store_of_one_process_has_nothing_to_see(run, command: list[str]) -> None:
    ran = run(*command, "memory://told")

    assert (ran.code, ran.out) == (2, "")
    assert "lives in one process, and this command is another" in ran.error
