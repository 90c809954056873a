"""The likely mistakes: each says what happened, why and what to do, and is in the docs."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import sqlite3
import warnings
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from jobyard import Job, QueueService
from jobyard.cli import app as entry
from jobyard.cli.commands import build
from jobyard.errors import BackendUnavailable, StorageNotPrepared
from jobyard.plugins import Plugins, open_backend

PAGE = Path(__file__).resolve().parent.parent / "docs" / "how-to" / "troubleshooting.md"
ROW = re.compile(r"^\| (`.*?) \| (.*?) \| (.*?) \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text(encoding="utf-8"))


def check(said: str, *fragments: str) -> None:
    """Asserts that fragments are said in that order, and that a row of the docs quotes them."""
    said = " ".join(said.split())
    places = [said.find(fragment) for fragment in fragments]
    assert -1 not in places, said
    assert places == sorted(places), said
    quoted = " … ".join(f"`{fragment}`" for fragment in fragments)
    assert [row for row in ROWS if row[0].startswith(quoted)], f"not in {PAGE.name}: {quoted}"


Work = Callable[[QueueService], Awaitable[Any]]


async def within(work: Work) -> None:
    async with QueueService("memory://") as service:
        await work(service)


# -- it does not start ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "fragments"),
    [
        (None, ["which store? Pass a URL"]),
        ("jobs.db", ["the URL has no scheme"]),
        ("sqlite://jobs.db", ["a sqlite URL names no host"]),
        ("postgresql://ann:a/b@host/db", ["the URL cannot be parsed", "write / as %2F"]),
        ("redis://ann:a#b@host", ["the URL cannot be parsed", "write / as %2F"]),
    ],
)
def test_a_wrong_url(
    url: str | None, fragments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JOBYARD_URL", raising=False)
    with pytest.raises(Exception, match=re.escape(fragments[0])) as raised:
        QueueService(url)
    check(str(raised.value), *fragments)


def test_a_store_whose_extra_is_missing() -> None:
    with pytest.raises(Exception, match="no installed backend") as raised:
        open_backend("redis://host", plugins=Plugins([]))
    check(str(raised.value), "no installed backend serves redis://", "Install the distribution")


def test_a_command_line_whose_extra_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(entry, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        entry.main()
    said = capsys.readouterr().err
    check(said, "the command line needs typer")
    assert "Install the extra" in said


def test_with_instead_of_async_with() -> None:
    with pytest.raises(TypeError) as raised, QueueService("memory://"):
        pass
    check(str(raised.value), "QueueService is asynchronous: write")
    assert "jobyard.sync" in str(raised.value)


async def test_a_service_that_is_not_open() -> None:
    with pytest.raises(Exception, match="not open") as raised:
        await QueueService("memory://").add_job("emails", "send")
    check(str(raised.value), "the service is not open")


async def test_a_store_that_is_not_prepared(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="prepared") as raised:
        await QueueService(f"sqlite:///{tmp_path}/jobs.db", migrate="check").open()
    check(str(raised.value), "is not prepared for this version")


async def test_a_store_that_another_version_migrated(tmp_path: Path) -> None:
    async with QueueService(f"sqlite:///{tmp_path}/jobs.db") as service:
        with closing(sqlite3.connect(tmp_path / "jobs.db")) as connection:
            connection.execute("ALTER TABLE jobyard_counter RENAME TO jobyard_counter_2")
        with pytest.raises(StorageNotPrepared) as raised:
            await service.add_job("emails", "send")
    check(str(raised.value), "a newer jobyard has migrated it", "upgrade this process")


def test_a_handler_that_is_registered_twice() -> None:
    service = QueueService("memory://")
    service.register_worker("emails", "send", print)
    with pytest.raises(Exception, match="already") as raised:
        service.register_worker("emails", "send", print)
    check(str(raised.value), "has a handler already")


def test_a_decorator_without_its_parentheses() -> None:
    service = QueueService("memory://")
    with pytest.raises(Exception, match="handler") as raised:
        service.handler(print)  # type: ignore[arg-type]
    check(str(raised.value), "handler is called with the queue and the name")


def test_a_handler_that_no_other_process_can_import() -> None:
    service = QueueService("memory://")
    with pytest.raises(Exception, match="process") as raised:
        service.register_worker("emails", "send", lambda job: None, kind="process")
    check(str(raised.value), "cannot run in a process of its own")


# -- a job cannot be added ------------------------------------------------------------------------


async def test_an_add_that_is_not_awaited() -> None:
    async with QueueService("memory://") as service:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            service.add_job("emails", "send")  # type: ignore[unused-coroutine]
            gc.collect()
        assert await service.list_queues() == []
    (warning,) = [str(each.message) for each in told if "add_job" in str(each.message)]
    check(warning, "was never awaited")


@pytest.mark.parametrize(
    ("data", "options", "fragments"),
    [
        ({"at": datetime(2026, 1, 1)}, {}, ["would not come back equal from JSON"]),  # noqa: DTZ001
        ({"ids": {1, 2}}, {}, ["would not come back equal from JSON"]),
        ("x" * 300_000, {}, ["store it elsewhere and pass a reference"]),
        (None, {"run_at": datetime(2026, 1, 1)}, ["run_at has no time zone"]),  # noqa: DTZ001
        (None, {"delay": 1_732_635_180_000}, ["are these milliseconds?"]),
        (None, {"timeout": 10**400}, ["are these milliseconds?"]),
        (None, {"priorty": 3}, ["unknown job option", "did you mean"]),
    ],
)
async def test_a_job_that_cannot_be_added(
    data: object, options: dict[str, Any], fragments: list[str]
) -> None:
    async with QueueService("memory://") as service:
        with pytest.raises(Exception, match=re.escape(fragments[0])) as raised:
            await service.add_job("emails", "send", data, **options)
        assert await service.list_queues() == []
    check(str(raised.value), *fragments)


async def test_a_name_with_characters_that_names_do_not_have() -> None:
    with pytest.raises(Exception, match="characters") as raised:
        await within(lambda service: service.add_job("my queue", "send"))
    check(str(raised.value), "is 1 to 64 of the characters")


# -- a job does not run ---------------------------------------------------------------------------


async def test_a_job_that_no_worker_takes() -> None:
    async with QueueService("memory://yard", namespace="mail") as service:
        job = await service.add_job("emails", "send")
        with pytest.raises(TimeoutError) as raised:
            await job.wait(timeout=0.01)
    check(str(raised.value), "does a worker run on", "with a handler for")
    assert f"job {job.id} (emails/send) is waiting after 0.01 s" in str(raised.value)
    assert "memory://yard, namespace mail" in str(raised.value)


@pytest.mark.parametrize(
    ("options", "claimed", "why"),
    [({"delay": 60}, False, "is delayed after 0.01 s: it is not due yet"),
     ({}, True, "goes on"),
     ({"depends_on": "first"}, False, "it waits for another job")],
)  # fmt: skip
async def test_a_job_that_ends_too_late_is_told_as_it_is(
    options: dict[str, Any], claimed: bool, why: str
) -> None:
    async with QueueService("memory://") as service:
        await service.add_job("others", "first", job_id="first")
        job = await service.add_job("emails", "send", **options)
        if claimed:
            await service.claim("emails")
        with pytest.raises(TimeoutError, match=re.escape(why)):
            await job.wait(timeout=0.01)


async def test_a_name_that_has_no_handler(caplog: pytest.LogCaptureFixture) -> None:
    async with QueueService("memory://") as service:
        service.register_worker("emails", "send-welcome", lambda job: None)
        await service.add_jobs("emails", [("send_welcome", 1)] * 2)
        with caplog.at_level(logging.WARNING, "jobyard.worker"):
            assert await service.run_until_idle() == 0
            assert await service.run_until_idle() == 0
    (record,) = [each for each in caplog.records if "no handler here" in each.getMessage()]
    check(record.getMessage(), "waits, and no handler here is for that")
    assert "is 'send-welcome' meant?" in record.getMessage()
    assert vars(record)["job_name"] == "send_welcome"


async def test_a_running_worker_looks_for_names_that_have_no_handler(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobyard.service.unheard.FIRST_SECONDS", 0.0)
    async with QueueService("memory://") as service:
        service.register_worker("emails", "send", lambda job: None)
        await service.add_job("emails", None)
        running = asyncio.ensure_future(service.run())
        while "a job without a name waits" not in caplog.text:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_to_look_for_such_names_fails_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async with QueueService("memory://") as service:
        service.register_worker("emails", "send", lambda job: None)
        await service.add_job("emails", "send")

        async def find(query: object) -> None:
            raise BackendUnavailable

        monkeypatch.setattr(service.backend, "find", find)
        assert await service.run_until_idle() == 1


async def test_a_worker_without_any_handler(caplog: pytest.LogCaptureFixture) -> None:
    async with QueueService("memory://") as service:
        await service.run_until_idle()
    check(caplog.text, "has no handler, so it runs nothing")


def test_a_store_of_one_process_alone() -> None:
    result = CliRunner().invoke(build(Plugins([])), ["stats", "memory://"])

    assert result.exit_code == 2
    check(result.output, "lives in one process, and this command is another")


async def test_a_job_of_another_namespace() -> None:
    with pytest.raises(Exception, match="there is no job") as raised:
        await within(lambda service: service.get_job("elsewhere"))
    check(str(raised.value), "there is no job", "in another store or namespace")


# -- a job runs twice -----------------------------------------------------------------------------


async def test_a_handler_that_blocks_the_event_loop(caplog: pytest.LogCaptureFixture) -> None:
    async def compute(job: Job) -> None:
        deadline = asyncio.get_running_loop().time() + 0.05
        while asyncio.get_running_loop().time() < deadline:
            pass

    async with QueueService("memory://") as service:
        service.register_worker("emails", "send", compute)
        job = await service.add_job("emails", "send")
        async with service.worker(lease=0.1):
            while "blocked the event loop" not in caplog.text:
                await asyncio.sleep(0.01)
    check(caplog.text, "handler blocked the event loop")
    assert f"emails/send {job.id}" in caplog.text
    assert "make it a plain function, which runs in a thread" in caplog.text


async def test_a_run_whose_lease_was_lost(caplog: pytest.LogCaptureFixture) -> None:
    async with QueueService("memory://") as service:

        @service.handler("emails", "send")
        async def send(job: Job) -> None:
            if job.fence == 1:  # another takes it, as when this process had stood still
                await service.requeue_job(job.id)

        await service.add_job("emails", "send")
        await service.run_until_idle()
    check(caplog.text, "lease lost before the run could be settled")
    assert "keep the loop free, or work with a longer lease" in caplog.text


async def test_a_lease_that_any_pause_outlasts(caplog: pytest.LogCaptureFixture) -> None:
    async with QueueService("memory://") as service:
        service.register_worker("emails", "send", lambda job: None)
        async with service.worker(lease=0.5):
            while "worker" not in caplog.text:
                await asyncio.sleep(0.01)
    check(caplog.text, "a pause of the process or the store that is longer")


def test_there_are_at_least_twenty_rows_and_each_says_all_three() -> None:
    assert len(ROWS) >= 20
    assert [row[0] for row in ROWS if not all(cell.strip() for cell in row)] == []


def test_every_row_is_quoted_in_a_test() -> None:
    tests = Path(__file__).read_text(encoding="utf-8")
    quotes = [re.findall(r"`(.*?)`", row[0])[0] for row in ROWS]

    assert [quote for quote in quotes if quote not in tests] == []
