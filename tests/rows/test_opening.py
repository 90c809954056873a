"""K-001 to K-014: opening, naming, configuring."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest
from tests.patience import PATIENCE

from jobyard import JobOptions, QueueService
from jobyard.errors import (
    BackendClosed,
    ConfigError,
    InvalidName,
    InvalidOption,
    InvalidUrl,
    StorageTooNew,
    StoreBusy,
    UnknownScheme,
    WrongState,
)
from jobyard.url import BackendUrl


async def test_k001_a_url_is_all_it_takes(url: str) -> None:
    service = QueueService(url)

    @service.handler("emails", "send")
    async def send(job):
        return job.data["to"]

    async with service:
        job = await service.add_job("emails", "send", {"to": "ada"})
        assert await service.run_until_idle() == 1
        assert await job.wait(timeout=PATIENCE) == "ada"


async def test_k003_ten_may_migrate_at_once(url: str) -> None:
    services = [QueueService(url) for _ in range(10)]
    await asyncio.gather(*(service.open() for service in services))
    await asyncio.gather(*(service.migrate() for service in services))
    job = await services[0].add_job("q", "n", 1)
    assert (await services[9].get_job(job.id)).data == 1
    await asyncio.gather(*(service.close() for service in services))


async def test_k006_two_stores_keep_their_jobs_apart(url: str) -> None:
    address, mark, options = url.partition("?")
    if "schema=" in options:
        beside = f"{address}?{options.replace('schema=', 'schema=b_')}"
    else:
        head, _, tail = address.rpartition("/")
        beside = f"{head}/{'1' if tail == '0' else f'b-{tail}'}{mark}{options}"
    async with QueueService(url) as one, QueueService(beside) as other:
        await one.add_job("q", "n", 1)
        assert await other.list_jobs("q") == []


async def test_k007_twenty_queues_in_one_store(service: QueueService) -> None:
    names = [f"queue-{n:02}" for n in range(20)]
    for name in names:
        await service.add_job(name, "n", name)
    assert await service.list_queues() == names
    for name in names:
        assert [job.data for job in await service.list_jobs(name)] == [name]


async def test_k008_namespaces_do_not_see_each_other(make) -> None:
    one, other = await make(namespace="one"), await make(namespace="other")
    job = await one.add_job("q", "n", 1, job_id="same")
    assert await other.list_queues() == []
    again = await other.add_job("q", "n", 2, job_id="same")
    assert not again.is_duplicate
    assert (await one.get_job(job.id)).data == 1
    assert (await other.get_job(job.id)).data == 2


async def test_k011_a_queue_is_made_or_got(make) -> None:
    service = await make()
    assert service.queue("a") is service.queue("a")
    await service.list_queues()
    assert await (await make()).list_queues() == ["a"]


async def test_k011_a_queue_named_before_opening_is_known_after_it(url: str) -> None:
    service = QueueService(url)
    service.queue("early")
    async with service, QueueService(url) as other:
        assert await other.list_queues() == ["early"]


async def test_k013_defaults_of_the_service_apply_and_a_call_wins(make) -> None:
    service = await make(defaults=JobOptions(attempts=3, priority="high"))
    job = await service.add_job("q", "n")
    bulk = await service.add_jobs("q", [("n", 1), ("n", 2, {"attempts": 7})], priority="low")
    own = await service.add_job("q", "n", attempts=5)
    shown = [await each.refresh() for each in (job, *bulk, own)]
    assert [each.attempts for each in shown] == [3, 3, 7, 5]
    assert [each.priority for each in shown] == [10, -10, -10, 10]


async def test_k013_the_url_may_come_from_the_environment(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBYARD_URL", url)
    async with QueueService() as service:
        await service.add_job("q", "n")
    monkeypatch.delenv("JOBYARD_URL")
    with pytest.raises(ConfigError, match="JOBYARD_URL"):
        QueueService()


async def test_k014_an_unknown_option_is_a_type_error(service: QueueService) -> None:
    with pytest.raises(TypeError, match="did you mean 'timeout'"):
        await service.add_job("q", "n", {}, timeoutt=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"jobs\[1\].*'wrong'"):
        await service.add_jobs("q", [("n", 1), ("n", 2, {"wrong": 1})])
    assert await service.list_queues() == []


@pytest.mark.parametrize("name", ["", "a" * 65, "a:b", "{x}", "*", "a\nb", "'; DROP", "é", "a\0"])
@pytest.mark.case("B09")
async def test_a_bad_name_is_refused_before_anything_is_stored(
    service: QueueService, name: str
) -> None:
    with pytest.raises(InvalidName, match="1 to 64 of the characters"):
        await service.add_job(name, "n")
    with pytest.raises(InvalidName, match="1 to 64 of the characters"):
        await service.add_job("q", name)
    with pytest.raises(InvalidName):
        service.queue(name)
    with pytest.raises(InvalidName):
        await service.add_job("q", "n", channel=name)
    assert await service.list_queues() == []


async def test_a_closed_service_says_how_to_open_it(url: str) -> None:
    service = QueueService(url)
    with pytest.raises(BackendClosed, match="async with service"):
        await service.add_job("q", "n")


async def test_k154_closing_twice_is_closing_once(url: str) -> None:
    service = QueueService(url)
    await service.close()
    async with service:
        await service.add_job("q", "n")
        await service.close()
        assert not service.is_connected
    await service.close()


async def test_a_service_opens_again_after_it_was_closed(url: str, make) -> None:
    await make()  # holds a memory yard open
    service = QueueService(url)
    for expected in (1, 2):
        async with service:
            await service.add_job("q", "n")
            assert (await service.get_stats("q")).waiting == expected


async def test_tasks_that_open_at_once_open_once(url: str, monkeypatch) -> None:
    service = QueueService(url)
    calls = []
    prepare = service.backend.prepare

    async def counted():
        calls.append(service.backend)
        await prepare()

    monkeypatch.setattr(service.backend, "prepare", counted)
    await asyncio.gather(*(service.open() for _ in range(5)))
    assert len(calls) == 1
    await service.add_job("q", "n")
    await service.close()
    with pytest.raises(BackendClosed):
        await service.backend.get(["1"])


async def test_a_service_that_cannot_finish_opening_lets_go_of_the_store(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = QueueService(url)
    service.queue("early")

    async def control(*_args):
        raise StoreBusy

    with monkeypatch.context() as patched:
        patched.setattr(service.backend, "control", control)
        with pytest.raises(StoreBusy):
            await service.open()
    assert not service.is_connected
    with pytest.raises(BackendClosed):
        await service.backend.get(["1"])
    async with service:
        assert await service.list_queues() == ["early"]


async def test_a_run_that_cannot_begin_closes_what_it_opened(url: str) -> None:
    service = QueueService(url)
    with pytest.raises(InvalidOption):
        await service.run(concurrency=0)
    assert not service.is_connected


async def test_closing_stops_all_workers_at_the_same_time(url: str) -> None:
    service = QueueService(url)
    running, may_end = asyncio.Barrier(3), asyncio.Event()

    @service.handler("q", "n")
    async def n(job):
        await running.wait()
        await may_end.wait()

    await service.open()
    await service.add_jobs("q", [("n", 1), ("n", 2)])
    workers = [service.worker(concurrency=1, poll_interval=0.05) for _ in range(2)]
    runs = [asyncio.create_task(worker.run()) for worker in workers]
    async with asyncio.timeout(PATIENCE):
        await running.wait()
        closing = asyncio.create_task(service.close())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for worker in workers:
            with pytest.raises(WrongState):
                await worker.run()
        may_end.set()
        await closing
        await asyncio.gather(*runs)
    assert [worker.stats.completed for worker in workers] == [1, 1]


async def test_who_waits_for_a_job_is_told_that_the_service_was_closed(url: str) -> None:
    service = QueueService(url)
    await service.open()
    job = await service.add_job("q", "n")
    waiting = asyncio.create_task(job.wait(timeout=PATIENCE))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await service.close()
    with pytest.raises(BackendClosed, match="before the job ended"):
        await waiting


async def test_an_error_of_the_store_reaches_who_waits_and_not_the_next(
    service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get(_ids):
        raise StorageTooNew

    job = await service.add_job("q", "n")
    with monkeypatch.context() as patched:
        patched.setattr(service.backend, "get", get)
        with pytest.raises(StorageTooNew):
            await job.wait(timeout=PATIENCE)
    service.register_worker("q", "n", lambda: "done")
    await service.run_until_idle()
    assert await job.wait(timeout=PATIENCE) == "done"


async def test_ping_and_connection_info(service: QueueService) -> None:
    assert await service.ping()
    assert service.is_connected
    info = service.connection_info()
    assert info["connected"] is True
    assert info["namespace"] == "jobyard"


def test_an_unknown_scheme_names_what_is_installed() -> None:
    with pytest.raises(UnknownScheme, match=r"installed: memory.*sqlite"):
        QueueService("mongodb://host")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "jobs.db",
        "sqlite:jobs.db",
        "redis://[::1",
        "redis://host:port",
        "sqlite:///a#b",
        "memory://?a",
    ],
)
def test_a_url_that_cannot_be_read_says_how_one_looks(text: str) -> None:
    with pytest.raises(ConfigError):
        QueueService(text)


def test_an_unknown_url_option_names_those_there_are() -> None:
    with pytest.raises(InvalidUrl, match=r"no option 'durabilty'.*durability"):
        QueueService("sqlite:///x.db?durabilty=fast")


@pytest.mark.parametrize(
    "text",
    [
        "redis://user:hunter2@host/0?wrong=1",
        "sqlite://user:hunter2@host/x.db",
        "memory://user:hunter2@x?wrong=1",
        "postgresql://u:hunter2@h:bad/db",
        "nothing://u:hunter2@[bad",
    ],
)
@pytest.mark.case("B30", on=("sqlite", "postgres", "redis"))
def test_no_error_shows_a_password(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        QueueService(text)
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in f"{error!s} {error!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.mark.case("B30", on=("postgres", "redis"))
async def test_the_repr_of_a_service_shows_no_password() -> None:
    service = QueueService("memory://yard")
    service.backend.url = BackendUrl.parse("redis://user:hunter2@host/0?password=hunter2")
    assert "hunter2" not in repr(service)
    assert "hunter2" not in str(service.connection_info())
    assert "hunter2" not in repr(service.backend.url)


def test_bad_settings_are_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigError, match="migrate"):
        QueueService(url, migrate="maybe")  # type: ignore[arg-type]
    with pytest.raises(InvalidOption):
        JobOptions(attempts=0)


async def test_migrate_check_refuses_an_unprepared_store(url: str, make) -> None:
    with pytest.raises(ConfigError, match="not prepared"):
        await QueueService(url, migrate="check").open()
    await make()
    async with QueueService(url, migrate="check") as service:
        await service.add_job("q", "n")


def test_importing_jobyard_imports_no_driver() -> None:
    script = (
        "import sys, jobyard; from jobyard.plugins import load_plugins; load_plugins();"
        "bad = {'sqlalchemy','psycopg','redis','aiosqlite','typer','rich','croniter','pytest'};"
        "print(sorted(bad & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    assert out.stdout.strip() == "[]"


def test_importing_jobyard_imports_what_every_program_needs() -> None:
    """What only some need, they import: looking for plugins, processes for handlers, cron."""
    heavy = {"anyio", "croniter", "importlib.metadata", "multiprocessing", "pluggy", "jobyard.cli"}
    script = f"import sys, jobyard; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"


async def test_k009_sqlite_in_memory_serves_one_process() -> None:
    service = QueueService("sqlite:///:memory:")

    @service.handler("q", "n")
    async def n(job):
        return job.data

    async with service:
        job = await service.add_job("q", "n", 1)
        await service.run_until_idle()
        assert (await job.refresh()).result == 1
