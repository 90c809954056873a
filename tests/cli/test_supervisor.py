"""`jobyard worker` with several processes, and one that follows changes of its code."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobyard import QueueService
from jobyard.cli.reload import stamps_of
from jobyard.cli.worker import Settings

APP = """
import asyncio, os
from jobyard import QueueService

service = QueueService()

@service.handler("emails", "send")
async def send(job):
    return "version 1"

@service.handler("emails", "stubborn")
async def stubborn(job):
    print("stubborn", flush=True)
    await asyncio.Event().wait()
"""

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "jobs_app.py").write_text(APP)
    (tmp_path / "jobyard.toml").write_text(
        'url = "sqlite:///jobs.db?durability=fast"\nnamespace = "mail"\napp = "jobs_app:service"\n'
    )
    return tmp_path


def service_in(folder: Path) -> QueueService:
    return QueueService(f"sqlite:///{folder / 'jobs.db'}?durability=fast", namespace="mail")


@contextmanager
def worker(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    env = {name: value for name, value in os.environ.items() if name != "JOBYARD_URL"}
    process = subprocess.Popen(
        [sys.executable, "-m", "jobyard", "worker", *arguments],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()  # its processes see that it is gone, and end
        process.communicate()


def read_until(stream: Iterator[str], word: str, times: int = 1) -> list[str]:
    lines = []
    for line in stream:
        lines.append(line)
        times -= word in line
        if times == 0:
            return lines
    raise AssertionError("".join(lines))


def add(folder: Path, name: str) -> str:
    async def adding() -> str:
        async with service_in(folder) as service:
            return (await service.add_job("emails", name)).id

    return asyncio.run(adding())


def result_of(folder: Path, job_id: str) -> object:
    async def waiting() -> object:
        async with service_in(folder) as service:
            return await service.wait_for(job_id, timeout=100)

    return asyncio.run(waiting())


def pids_in(lines: list[str]) -> list[int]:
    """Reads the processes off the names of the workers: host:pid:tail."""
    return [
        int(line.split(" started")[0].rsplit(":", 2)[1]) for line in lines if " started" in line
    ]


@posix
def test_several_processes_work_and_tell_their_health_and_log_json(folder: Path) -> None:
    with worker(folder, "--processes", "2", "--health", "0", "--log-format", "json") as process:
        assert process.stderr is not None
        lines = read_until(process.stderr, "started", 2)
        job_id = add(folder, "send")
        assert result_of(folder, job_id) == "version 1"
        records = [json.loads(line) for line in lines]
        places = [r["message"].split()[-1] for r in records if "health at" in r["message"]]
        assert len(set(places)) == 2
        for place in places:
            with urllib.request.urlopen(place) as answer:
                assert json.load(answer)["status"] == "ready"
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        code = process.wait()

    assert code == 0
    assert all(json.loads(line)["level"] for line in rest.splitlines())
    assert rest.count("stopped") == 2


@posix
def test_a_process_that_dies_is_replaced_and_none_outlives_the_first(folder: Path) -> None:
    with worker(folder, "jobs_app:service", "--processes", "2") as process:
        assert process.stderr is not None
        pids = pids_in(read_until(process.stderr, " started", 2))
        os.kill(pids[0], signal.SIGKILL)
        lines = read_until(process.stderr, " started")
        assert any("worker process" in line and "ended with code -9" in line for line in lines)
        (new,) = pids_in(lines)
        assert new not in pids

        process.kill()
        read_until(process.stderr, " stopped", 2)


@posix
def test_two_signals_give_running_jobs_back(folder: Path) -> None:
    job_id = add(folder, "stubborn")
    with worker(folder, "--processes", "2", "--shutdown-timeout", "600") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        read_until(process.stderr, " started", 2)
        read_until(process.stdout, "stubborn")
        process.send_signal(signal.SIGINT)
        read_until(process.stderr, " stopping", 2)
        process.send_signal(signal.SIGTERM)
        code = process.wait()

    async def look() -> tuple[str, int]:
        async with service_in(folder) as service:
            job = await service.get_job(job_id)
            return job.state, job.crashes

    assert (code, asyncio.run(look())) == (0, ("waiting", 0))


@posix
def test_it_starts_again_when_its_code_changes(folder: Path) -> None:
    app = folder / "jobs_app.py"
    with worker(folder, "--reload") as process:
        assert process.stderr is not None
        read_until(process.stderr, " started")
        rewrite(app, "not Python")
        read_until(process.stderr, "the worker cannot start: waiting for a change")
        rewrite(app, APP.replace("version 1", "version 2"))
        read_until(process.stderr, " started")
        assert result_of(folder, add(folder, "send")) == "version 2"
        process.send_signal(signal.SIGTERM)
        code = process.wait()

    assert code == 0


def rewrite(path: Path, text: str) -> None:
    """Writes a file with a later time than it had, whatever the clock of the disk can tell."""
    later = max(time.time_ns(), path.stat().st_mtime_ns + 1_000_000_000)
    path.write_text(text)
    os.utime(path, ns=(later, later))


@posix
def test_an_app_that_cannot_work_ends_all_processes(folder: Path) -> None:
    with worker(folder, "jobs_none:service", "--processes", "2") as process:
        out, err = process.communicate()

    assert (process.returncode, out) == (2, "")
    assert "there is no module 'jobs_none'" in err
    assert "Traceback" not in err


def test_an_app_has_to_be_named(run) -> None:
    ran = run("worker")

    assert ran.code == 2
    assert "which app? Give it, such as app:service" in ran.error


def test_each_process_is_told_what_the_first_was() -> None:
    settings = Settings(app="app:service", concurrency=3, queues="a,b", health=("::1", 8080))

    first, second = settings.arguments(0), settings.arguments(1)
    assert first[:2] == ["worker", "app:service"]
    assert first[first.index("--concurrency") + 1] == "3"
    assert first[first.index("--queues") + 1] == "a,b"
    assert "--channels" not in first
    assert first[-2:] == ["--health", "[::1]:8080"]
    assert second[-2:] == ["--health", "[::1]:8081"]


def test_modules_are_watched_and_nothing_else(tmp_path: Path) -> None:
    for name in ("app.py", "jobyard.toml", "notes.md", "a/b.py", ".venv/c.py", "__pycache__/d.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    found = {str(Path(path).relative_to(tmp_path)) for path in stamps_of([tmp_path])}

    assert found == {"app.py", "jobyard.toml", str(Path("a/b.py"))}
    assert stamps_of([tmp_path / "none"]) == {}
