"""Worker processes end when they are told to, whatever they are at."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.patience import PATIENCE

from jobyard import JobState, QueueService
from jobyard.url import BackendUrl
from jobyard_conformance.proxy import proxied

APP = Path(__file__).with_name("ending.py")
GRACE = "0.3"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


class Ending:
    """A worker process, and what it says."""

    def __init__(self, process: Process) -> None:
        self.process = process

    async def says(self, word: str) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while (line := await self.process.stdout.readline()).strip() != word.encode():
                assert line, (await self.complaints())[-3_000:]

    async def logs(self, word: str) -> None:
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while word.encode() not in (line := await self.process.stderr.readline()):
                assert line, f"it ended without saying {word!r}"

    async def complaints(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()

    async def ends(self) -> tuple[int, str]:
        """Wait for its end: far longer than it has, far shorter than what its jobs take."""
        async with asyncio.timeout(PATIENCE):
            complaints = await self.complaints()
            return await self.process.wait(), complaints


@asynccontextmanager
async def started(*words: str, url: str, **env: str) -> AsyncIterator[Ending]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=PIPE,
        env={**os.environ, "JOBYARD_URL": url, **env},
    )  # fmt: skip
    try:
        yield Ending(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def command(url: str, *options: str, **env: str):
    words = ("-m", "jobyard", "worker", f"{APP}:service", "--shutdown-timeout", GRACE)
    return started(*words, *options, url=url, **env)


def program(url: str):
    return started(str(APP), GRACE, url=url)


async def given_back(url: str, job_id: str) -> None:
    async with QueueService(url) as service:
        job = await service.get_job(job_id)
    assert (job.state, job.failures, job.crashes) == (JobState.WAITING, 0, 0)


async def added(url: str, name: str) -> str:
    async with QueueService(url) as service:
        return (await service.add_job("q", name)).id


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.db?durability=fast"


@pytest.mark.case("F13", "F21", on=("sqlite",))
@pytest.mark.parametrize(
    ("start", "name"),
    [
        (command, "async"),
        (command, "process"),
        (command, "stubborn"),
        (program, "thread"),
        (program, "stubborn"),
    ],
)
async def test_a_process_with_a_run_that_does_not_end_ends(file_url: str, start, name: str) -> None:
    job_id = await added(file_url, name)
    async with start(file_url) as worker:
        await (worker.logs if name == "process" else worker.says)("running")
        worker.process.send_signal(signal.SIGTERM)
        code, complaints = await worker.ends()
    assert code == 0, complaints
    assert "by force" not in complaints
    assert "Traceback" not in complaints
    await given_back(file_url, job_id)


@pytest.mark.case("F14", on=("sqlite",))
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_a_process_at_once(file_url: str, number: int) -> None:
    job_id = await added(file_url, "async")
    async with command(file_url, "--shutdown-timeout", "3600") as worker:
        await worker.says("running")
        worker.process.send_signal(number)
        await worker.logs("stopping")
        worker.process.send_signal(number)
        code, complaints = await worker.ends()
    assert code == 0, complaints
    await given_back(file_url, job_id)


@pytest.mark.case("F20", on=("sqlite",))
@pytest.mark.parametrize("name", ["blocked", "executor", "leaves-a-thread"])
async def test_a_process_that_cannot_end_by_itself_is_ended(file_url: str, name: str) -> None:
    """The event loop is held up, or a thread is that Python waits for at its end."""
    await added(file_url, name)
    async with command(file_url, BEYOND_SECONDS="1") as worker:
        await worker.says("running")
        worker.process.send_signal(signal.SIGTERM)
        code, complaints = await worker.ends()
    assert code == 2, complaints
    assert "ends by force" in complaints
    assert "ending.py" in complaints or "threading.py" in complaints, "it says what it was doing"


@pytest.mark.case("F12")
async def test_a_process_that_has_nothing_to_do_ends(shared_url: str) -> None:
    async with QueueService(shared_url) as service:
        await service.pause_queue("q")
        await service.add_job("q", "async")
    async with command(shared_url) as worker:
        await worker.logs(" started")
        worker.process.send_signal(signal.SIGTERM)
        code, complaints = await worker.ends()
    assert code == 0, complaints


@pytest.mark.case("F15")
async def test_a_process_that_is_starting_ends_and_leaves_a_store_that_works(
    shared_url: str,
) -> None:
    """The signal comes at any moment of the start: before Python is up, while it migrates."""
    for number, delay in ((signal.SIGTERM, 0.1), (signal.SIGINT, 0.5)):
        async with command(shared_url) as worker:
            await asyncio.sleep(delay)
            worker.process.send_signal(number)
            code, complaints = await worker.ends()
        # 1 is a Ctrl-C that came before Python itself was up.
        assert code in {0, 1, 130, -number}, complaints
    async with command(shared_url) as worker:
        await worker.logs(" started")
        worker.process.send_signal(signal.SIGTERM)
        assert (await worker.ends())[0] == 0


@pytest.mark.case("N10", on=("postgres", "redis"))
@pytest.mark.parametrize("scheme", ["redis", "postgresql"])
async def test_a_process_whose_server_never_answers_ends(scheme: str) -> None:
    """The connection is made, by the kernel, and nobody ever says a word: half open."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://ann@127.0.0.1:{silent.getsockname()[1]}/0?connect_timeout=3600"
        async with command(url) as worker:
            accepted, _ = await asyncio.to_thread(silent.accept)
            with accepted:
                worker.process.send_signal(signal.SIGTERM)
                code, complaints = await worker.ends()
    assert code == 0, complaints


@pytest.mark.case("N13", on=("postgres", "redis"))
@pytest.mark.parametrize("scheme", ["redis", "postgresql"])
async def test_a_process_whose_server_is_not_there_ends(scheme: str) -> None:
    async with command(f"{scheme}://ann@127.0.0.1:1/0") as worker:
        await worker.logs("the store is not there")
        worker.process.send_signal(signal.SIGTERM)
        code, complaints = await worker.ends()
    assert code == 0, complaints


def way_to(url: str) -> tuple[str | tuple[str, int], Callable[[int], str]]:
    """Tell where a server listens, and how it is named by the port of a way to it."""
    parsed = BackendUrl.parse(url)
    login = "" if parsed.username is None else f"{parsed.username}@"
    options = dict(parsed.options) | {"timeout": "2"}
    folder = options.pop("host", None)
    query = "&".join(f"{name}={value}" for name, value in options.items())
    server = (parsed.host or "127.0.0.1", parsed.port or 0)
    return (
        server if folder is None else f"{folder}/.s.PGSQL.{parsed.port or 5432}",
        lambda port: f"{parsed.scheme}://{login}127.0.0.1:{port}{parsed.path}?{query}",
    )


@pytest.mark.case("N10", on=("postgres", "redis"))
@pytest.mark.parametrize("shared_url", ["postgres", "redis"], indirect=True)
async def test_a_process_whose_server_hangs_ends(shared_url: str) -> None:
    server, address = way_to(shared_url)
    async with proxied(server) as (proxy, port), command(address(port)) as worker:
        await worker.logs(" started")
        proxy.hanging = True
        await worker.logs("could not")
        worker.process.send_signal(signal.SIGTERM)
        code, complaints = await worker.ends()
    assert code == 0, complaints
    assert "by force" not in complaints
