"""Handlers in threads and in processes, in real time."""

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jobyard import Discard, JobState, QueueService, Reason, Retry, Snooze
from jobyard.errors import ConfigError
from jobyard.failure import unpack_error
from jobyard.job import JobRecord
from jobyard.worker import ProcessJob, ThreadJob, Worker, stop_on_signals

DEADLINE_SECONDS = 100


def _unreachable() -> None: ...


_unreachable.__qualname__ = "moved_away"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def service() -> AsyncIterator[QueueService]:
    async with QueueService("memory://") as service:
        yield service
    assert [task for task in asyncio.all_tasks() if "jobyard" in task.get_name()] == []


async def run(
    service: QueueService, kind: Any, function: Any, data: Any = None, **options: Any
) -> JobRecord:
    """Runs one job to its end, or its delay, in a worker of its own."""
    service.register_worker("q", "job", function, kind=kind, replace=True)
    job = await service.add_job("q", "job", data, **options)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await Worker(service, concurrency=2).run_until_idle()
    (record,) = await service.backend.get([job.id])
    assert record is not None
    return record


def message(record: JobRecord) -> str:
    error = unpack_error(record.error)
    assert error is not None
    return error.message


# -- functions that both kinds run ---------------------------------------------------------------


def echo(job: Any) -> Any:
    return [job.data, job.queue, job.name, job.attempt, job.attempts, job.fence, job.headers["h"]]


def without_job() -> int:
    return 7


def fails(job: Any) -> None:
    raise ValueError(f"no {job.data}")


def exits(job: Any) -> None:
    sys.exit(3)


def discards(job: Any) -> None:
    raise Discard("useless")


def retries(job: Any) -> None:
    raise Retry("later", delay=1000)


def snoozes(job: Any) -> None:
    raise Snooze(1000)


def returns_too_much(job: Any) -> str:
    return "x" * 100_000


def returns_an_object(job: Any) -> Any:
    return {1, 2}


def dies(job: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leaves(job: Any) -> None:
    os._exit(0)


def prints(job: Any) -> str:
    print("to the standard output")  # noqa: T201 - where it goes is the question
    os.system("echo from a child of its own")
    return "fine"


def sleeps(job: Any) -> None:
    time.sleep(job.data)


KINDS = pytest.mark.parametrize("kind", ["thread", "process"])


@KINDS
async def test_a_function_gets_the_job_and_its_value_is_the_result(
    service: QueueService, kind: str
) -> None:
    record = await run(service, kind, echo, {"a": [1]}, headers={"h": "v"}, attempts=2)

    assert record.result == b'[{"a":[1]},"q","job",1,2,1,"v"]'


@KINDS
async def test_a_function_without_parameters(service: QueueService, kind: str) -> None:
    assert (await run(service, kind, without_job)).result == b"7"


@KINDS
async def test_an_error_is_stored_with_its_traceback(service: QueueService, kind: str) -> None:
    error = unpack_error((await run(service, kind, fails, "luck")).error)

    assert error is not None
    assert (error.type, error.message) == ("ValueError", "no luck")
    assert "in fails" in error.traceback


@KINDS
async def test_system_exit_is_a_failure(service: QueueService, kind: str) -> None:
    error = unpack_error((await run(service, kind, exits)).error)

    assert error is not None
    assert error.type == "SystemExit"


@KINDS
async def test_signals_of_handlers_work(service: QueueService, kind: str) -> None:
    discarded = await run(service, kind, discards, attempts=5)
    retried = await run(service, kind, retries, attempts=5)
    snoozed = await run(service, kind, snoozes, attempts=5)

    assert (discarded.reason, message(discarded)) == (Reason.REFUSED, "useless")
    assert (retried.state, retried.failures, message(retried)) == (JobState.DELAYED, 1, "later")
    assert (snoozed.state, snoozed.failures) == (JobState.DELAYED, 0)
    assert 900_000 < retried.due_at - retried.created_at <= 1_100_000
    assert 900_000 < snoozed.due_at - snoozed.created_at <= 1_100_000


@KINDS
@pytest.mark.parametrize("function", [returns_too_much, returns_an_object])
async def test_a_result_that_cannot_be_stored_fails_once(
    service: QueueService, kind: str, function: Any
) -> None:
    record = await run(service, kind, function, attempts=5)

    assert (record.reason, record.failures) == (Reason.REFUSED, 1)
    assert "the result" in message(record)


# -- threads -------------------------------------------------------------------------------------


async def test_a_thread_may_report_and_check(service: QueueService) -> None:
    def handler(job: ThreadJob) -> str:
        job.update_progress(50)
        job.log("a line")
        job.check_lease()
        return threading.current_thread().name

    record = await run(service, "thread", handler)

    assert record.progress == b"50"
    assert record.result is not None
    assert b"jobyard handler" in record.result
    assert await service.job_logs(record.id) == ["a line"]


async def test_a_thread_is_left_behind_at_its_time_limit_if_it_does_not_look(
    service: QueueService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("jobyard.worker.slot.GRACE_SECONDS", 0.1)
    release = threading.Event()

    record = await run(service, "thread", lambda _job: release.wait(DEADLINE_SECONDS), timeout=0.1)

    release.set()
    assert message(record) == "ran longer than 0.1 s"
    assert "goes on without its lease" in caplog.text


async def test_a_thread_that_looks_at_its_token_ends_in_time(
    service: QueueService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("jobyard.worker.slot.GRACE_SECONDS", DEADLINE_SECONDS)

    def handler(job: ThreadJob) -> None:
        job.cancel_token.wait_in_thread(2 * DEADLINE_SECONDS)

    record = await run(service, "thread", handler, timeout=0.1)

    assert message(record) == "ran longer than 0.1 s"
    assert "goes on without its lease" not in caplog.text


async def test_threads_run_side_by_side_and_end_with_the_worker(service: QueueService) -> None:
    barrier = threading.Barrier(4)
    service.register_worker("q", "job", lambda: barrier.wait(DEADLINE_SECONDS) * 0)
    for _ in range(8):
        await service.add_job("q", "job")
    before = threading.active_count()

    assert await Worker(service, concurrency=4).run_until_idle() == 8

    async with asyncio.timeout(DEADLINE_SECONDS):
        while threading.active_count() > before:
            await asyncio.sleep(0.01)


async def test_context_variables_do_not_leak_between_threads(service: QueueService) -> None:
    who: contextvars.ContextVar[int] = contextvars.ContextVar("who", default=0)
    seen: list[int] = []

    def handler() -> None:
        seen.append(who.get())
        who.set(1)

    service.register_worker("q", "job", handler)
    for _ in range(3):
        await service.add_job("q", "job")
    await Worker(service, concurrency=1).run_until_idle()

    assert seen == [0, 0, 0]


# -- processes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("function", "how"), [(dies, "by signal 9"), (leaves, "with exit code 0")])
async def test_a_process_that_dies_is_a_failed_run(
    service: QueueService, function: Any, how: str
) -> None:
    record = await run(service, "process", function)

    assert (record.state, record.reason) == (JobState.FAILED, Reason.EXHAUSTED)
    assert message(record) == f"the process of the handler ended {how} before the handler did"


async def test_a_process_is_killed_at_its_time_limit(service: QueueService) -> None:
    record = await run(service, "process", sleeps, 10 * DEADLINE_SECONDS, timeout=0.2)

    assert message(record) == "ran longer than 0.2 s"


async def test_what_a_process_prints_does_not_disturb_it(
    service: QueueService, capfd: pytest.CaptureFixture[str]
) -> None:
    record = await run(service, "process", prints)

    assert record.result == b'"fine"'
    assert "to the standard output" in capfd.readouterr().err


async def test_a_process_runs_many_jobs_and_ends_with_its_worker(service: QueueService) -> None:
    service.register_worker("q", "job", os.getpid, kind="process")
    jobs = [await service.add_job("q", "job") for _ in range(20)]

    await Worker(service, concurrency=2).run_until_idle()

    pids = {(await job.refresh()).result for job in jobs}
    assert 1 <= len(pids) <= 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_function_that_cannot_be_imported_ends_the_worker(service: QueueService) -> None:
    service.register_worker("q", "job", lambda: None, kind="thread")
    with pytest.raises(ConfigError, match="top level"):
        service.register_worker("q", "other", _local(), kind="process")


async def test_a_process_handler_that_cannot_be_imported_is_refused_at_the_start(
    service: QueueService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="jobyard.worker")
    job = await service.add_job("q", "job")
    service.register_worker("q", "job", _unreachable, kind="process")
    with pytest.raises(ConfigError, match="cannot be imported by its name"):
        await Worker(service).run()
    assert caplog.records == []
    assert (await job.refresh()).state is JobState.WAITING
    service.register_worker("other", "job", os.getpid, kind="process")
    await Worker(service, queues=["other"]).run_until_idle()


PROGRAM = """
import asyncio

from jobyard import QueueService

service = QueueService("sqlite:///jobs.db")


@service.handler("q", "double", kind="process")
def double(job):
    return job.data * 2


async def main():
    async with service:
        job = await service.add_job("q", "double", 21)
        await service.run_until_idle()
        print([(job.state.value, job.result, job.error) for job in await service.list_jobs("q")])


"""


def run_program(folder: Path, last: str) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(PROGRAM + last)
    return subprocess.run(
        [sys.executable, "program.py"],
        cwd=folder,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=True,
    )


def test_a_process_runs_a_function_of_the_main_module_without_a_warning(tmp_path: Path) -> None:
    ended = run_program(tmp_path, 'if __name__ == "__main__":\n    asyncio.run(main())\n')
    assert (ended.stdout, ended.stderr) == ("[('completed', 42, None)]\n", "")


def test_a_program_that_starts_when_it_is_imported_does_not_start_itself(tmp_path: Path) -> None:
    ended = run_program(tmp_path, "asyncio.run(main())\n")
    assert ended.stdout.count("failed") == 1
    assert '`if __name__ == "__main__":`' in ended.stdout


def _local() -> Any:
    def function() -> None: ...

    return function


def test_a_process_job_is_a_frozen_record() -> None:
    job = ProcessJob(
        id="i", queue="q", name="n", data=1, attempt=1, attempts=1, fence=1, headers={}, tags=()
    )
    with pytest.raises(AttributeError):
        job.id = "other"  # type: ignore[misc]


# -- signals of the system -----------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_a_worker_gracefully(
    service: QueueService, number: signal.Signals
) -> None:
    async def handler() -> str:
        os.kill(os.getpid(), number)
        await asyncio.sleep(0.05)
        return "whole"

    before = signal.getsignal(number)
    service.register_worker("q", "job", handler)
    job = await service.add_job("q", "job")
    worker = Worker(service)
    async with asyncio.timeout(DEADLINE_SECONDS):
        with stop_on_signals(worker):
            await worker.run()

    assert (await job.refresh()).result == "whole"
    assert signal.getsignal(number) is before


async def test_a_second_signal_stops_it_by_force(service: QueueService) -> None:
    async def handler() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    service.register_worker("q", "job", handler)
    job = await service.add_job("q", "job")
    worker = Worker(service)
    async with asyncio.timeout(DEADLINE_SECONDS):
        with stop_on_signals(worker):
            await worker.run()

    assert (await job.refresh()).state is JobState.WAITING
    assert worker.stats.released == 1
