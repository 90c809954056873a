"""`jobyard worker` in processes of its own, stopped by real signals."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobyard import Job, QueueService

APP = """
import asyncio, sys
from jobyard import QueueService

service = QueueService()

@service.handler("held", "patient")
async def patient(job):
    print("started", flush=True)
    return await asyncio.to_thread(sys.stdin.readline)

@service.handler("held", "stubborn")
async def stubborn(job):
    print("started", flush=True)
    await asyncio.Event().wait()

@service.handler("other", "quick")
async def quick(job):
    return "quick"
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "jobs_app.py").write_text(APP)
    return tmp_path


def url_in(folder: Path) -> str:
    return f"sqlite:///{folder / 'jobs.db'}"


def fast_in(folder: Path) -> str:
    """Gives the URL with what a test needs no disk for; it is shown without its options."""
    return f"{url_in(folder)}?durability=fast"


@contextmanager
def worker(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "jobyard", "worker", *arguments],
        cwd=folder,
        env={**os.environ, "JOBYARD_URL": fast_in(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def add(folder: Path, queue: str, name: str) -> str:
    async def adding() -> str:
        async with QueueService(fast_in(folder)) as service:
            return (await service.add_job(queue, name)).id

    return asyncio.run(adding())


def look_at(folder: Path, job_id: str) -> Job:
    async def looking() -> Job:
        async with QueueService(fast_in(folder)) as service:
            return await service.get_job(job_id)

    return asyncio.run(looking())


def read_until(stream: Iterator[str], word: str) -> str:
    read = []
    for line in stream:
        read.append(line)
        if word in line:
            return line
    raise AssertionError("".join(read))


def refusal(folder: Path, *arguments: str) -> str:
    with worker(folder, *arguments) as process:
        out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.case("F12", on=("sqlite",))
def test_the_first_signal_lets_a_running_job_end(folder: Path, number: signal.Signals) -> None:
    job_id = add(folder, "held", "patient")

    with worker(folder, "jobs_app:service") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        read_until(process.stdout, "started")
        process.send_signal(number)
        read_until(process.stderr, "stopping")
        process.stdin.write("done\n")
        process.stdin.flush()
        code = process.wait()

    job = look_at(folder, job_id)
    assert (code, job.state, job.result) == (0, "completed", "done\n")


@pytest.mark.case("F14", on=("sqlite",))
def test_a_second_signal_gives_a_running_job_back(folder: Path) -> None:
    job_id = add(folder, "held", "stubborn")

    with worker(folder, "jobs_app.py:service", "--shutdown-timeout", "600") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        read_until(process.stdout, "started")
        process.send_signal(signal.SIGTERM)
        read_until(process.stderr, "stopping")
        process.send_signal(signal.SIGTERM)
        code = process.wait()

    job = look_at(folder, job_id)
    assert (code, job.state, job.failures, job.crashes) == (0, "waiting", 0, 0)


def test_a_worker_says_what_it_works_on(folder: Path) -> None:
    with worker(folder, "jobs_app:service", "--queues", "other", "--concurrency", "3") as process:
        assert process.stderr is not None
        line = read_until(process.stderr, "jobyard worker:")
        read_until(process.stderr, "started")
        process.send_signal(signal.SIGTERM)
        code = process.wait()

    assert (
        f"jobs_app:service on {url_in(folder)} (namespace jobyard), queues other, 3 jobs at once"
        in line
    )
    assert code == 0


def test_only_the_chosen_queues_are_worked_on(folder: Path) -> None:
    held = add(folder, "held", "stubborn")
    other = add(folder, "other", "quick")

    with worker(folder, "jobs_app:service", "--queues", "other", "--log-level", "debug") as process:
        assert process.stderr is not None
        read_until(process.stderr, "run done")
        process.send_signal(signal.SIGTERM)
        process.wait()

    assert look_at(folder, held).state == "waiting"
    assert look_at(folder, other).result == "quick"


def test_jobs_that_nobody_knows_may_fail(folder: Path) -> None:
    unknown = add(folder, "other", "unknown")

    with worker(folder, "jobs_app:service", "--orphan-policy", "fail") as process:
        assert process.stderr is not None
        read_until(process.stderr, "orphaned")
        process.send_signal(signal.SIGTERM)
        process.wait()

    job = look_at(folder, unknown)
    assert (job.state, job.reason) == ("failed", "orphaned")


def test_a_queue_without_a_handler_is_a_usage_error(folder: Path) -> None:
    err = refusal(folder, "jobs_app:service", "--queues", "held,none")

    assert "no handler is registered for the queue none" in " ".join(err.split())


def test_an_app_that_is_not_there_is_an_error(folder: Path) -> None:
    assert "there is no module 'jobs_none'" in refusal(folder, "jobs_none:service")


def test_a_wrong_option_is_an_error(folder: Path) -> None:
    err = refusal(folder, "jobs_app:service", "--lease", "-1")

    assert "the lease is a number of seconds" in err


def test_a_store_out_of_reach_is_an_error(folder: Path) -> None:
    (folder / "jobs.db").mkdir()

    assert err_line(refusal(folder, "jobs_app:service")).startswith("jobyard: ")


def err_line(err: str) -> str:
    return err.splitlines()[-1]
