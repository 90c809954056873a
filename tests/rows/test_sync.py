"""B-08: the blocking service, from a script, from threads, from Flask; no event loop in sight."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import flask
import pytest
from tests.patience import PATIENCE

from jobyard import Backoff, JobFailed, JobNotFound, JobState
from jobyard.errors import BackendClosed, ConfigError, InvalidOption
from jobyard.sync import Job, QueueService


@pytest.fixture
def service(url: str) -> Iterator[QueueService]:
    with QueueService(url) as service:
        yield service


def test_b08_a_script_adds_and_runs_and_looks(service: QueueService) -> None:
    @service.handler("q", "double")
    def double(job):
        job.log("working")
        job.update_progress(50)
        return job.data * 2

    @service.handler("q", "broken")
    async def broken(job):
        raise ValueError("no")

    job = service.add_job("q", "double", 21, priority="high", headers={"a": "b"})
    others = service.add_jobs("q", [("double", n) for n in range(3)], delay=3600)
    lost = service.add_job("q", "broken", backoff=Backoff.fixed(0))
    assert isinstance(job, Job)
    assert (job.state, job.data, job.priority, job.headers) == (
        JobState.WAITING,
        21,
        10,
        {"a": "b"},
    )
    assert service.run_until_idle() == 2
    assert job.wait() == 42
    done = job.refresh()
    assert (done.result, done.progress, done.logs()) == (42, 50, ["working"])
    with pytest.raises(JobFailed, match="no"):
        lost.wait(timeout=PATIENCE)
    assert [each.id for each in service.iter_jobs("q", state="delayed")] == [j.id for j in others]
    others[0].promote()
    others[1].remove()
    with pytest.raises(JobNotFound):
        others[1].refresh()
    queue = service.queue("q")
    assert queue is service.queue("q")
    assert (queue.stats().completed, queue.stats().waiting, queue.stats().delayed) == (1, 1, 1)
    assert [each.state for each in queue.list_jobs(state="failed")] == [JobState.FAILED]
    (held,) = queue.claim()
    held.complete("by hand")
    assert service.get_job(held.id).result == "by hand"
    with pytest.raises(InvalidOption):
        service.add_job("q", "double", attempts=0)


def test_b08_typed_definitions_and_schedules(service: QueueService) -> None:
    @service.job("q", attempts=3)
    def add(payload: tuple[int, int]) -> int:
        return sum(payload)

    job = add.enqueue((1, 2))
    many = add.enqueue_many([(n, n) for n in range(3)])
    service.run_until_idle()
    assert (job.wait(), [each.wait() for each in many]) == (3, [0, 2, 4])
    assert add((3, 4)) == 7
    add.schedule("k", (5, 6), every=3600)
    assert service.trigger_schedule("k").data == (5, 6)
    assert [each.key for each in service.list_schedules()] == ["k"]


def test_b08_many_threads_share_a_service(service: QueueService) -> None:
    def add(number: int) -> str:
        return service.add_job("q", "n", number).id

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(add, range(200)))
    assert len(set(ids)) == 200
    assert sorted(job.data for job in service.list_jobs("q", limit=500)) == list(range(200))


def test_b08_a_worker_runs_in_a_thread_and_is_stopped_from_another(service: QueueService) -> None:
    began, may_end = threading.Event(), threading.Event()

    @service.handler("q", "n")
    def slow(job):
        began.set()
        may_end.wait(PATIENCE)
        return "ended"

    worker = service.worker(concurrency=2)
    thread = threading.Thread(target=worker.run)
    thread.start()
    job = service.add_job("q", "n")
    assert began.wait(PATIENCE)
    assert (worker.active, worker.is_running) == (1, True)
    stopper = threading.Thread(target=worker.stop)
    stopper.start()
    may_end.set()
    stopper.join(PATIENCE)
    thread.join(PATIENCE)
    assert (job.wait(), worker.is_running, worker.stats.runs) == ("ended", False, 1)


def test_b08_a_worker_runs_beside_a_block(service: QueueService) -> None:
    service.register_worker("q", "n", lambda job: job.data)
    with service.worker() as worker:
        assert service.add_job("q", "n", 7).wait(timeout=PATIENCE) == 7
    assert (worker.is_running, worker.stats.runs) == (False, 1)


def test_b08_flask_adds_jobs(service: QueueService) -> None:
    app = flask.Flask(__name__)

    @app.post("/welcome/<int:user>")
    def welcome(user: int) -> dict[str, str]:
        return {"job": service.add_job("emails", "welcome", {"user": user}).id}

    @app.get("/jobs/<job_id>")
    def show(job_id: str) -> dict[str, str]:
        return {"state": service.get_job(job_id).state}

    client = app.test_client()
    job_id = client.post("/welcome/7").get_json()["job"]
    assert client.get(f"/jobs/{job_id}").get_json() == {"state": "waiting"}


def test_b08_it_is_opened_by_the_first_call_and_closed_once(url: str) -> None:
    service = QueueService(url)
    before = service.is_connected
    service.add_job("q", "n")
    assert (before, service.is_connected) == (False, True)
    service.close()
    service.close()
    with pytest.raises(BackendClosed):
        service.add_job("q", "n")
    with service:
        service.add_job("q", "n")


def test_b08_from_its_own_event_loop_it_says_what_to_do(service: QueueService) -> None:
    @service.handler("q", "n")
    async def nested(job):
        service.add_job("q", "n")

    job = service.add_job("q", "n")
    service.run_until_idle()
    with pytest.raises(JobFailed, match=r"in a coroutine use jobyard\.QueueService"):
        job.wait()


async def test_b08_it_may_be_used_beside_another_event_loop(url: str) -> None:
    with QueueService(url) as service:
        job = await asyncio.to_thread(service.add_job, "q", "n")
        assert service.get_job(job.id).id == job.id


SCRIPT = textwrap.dedent(
    """
    import sys
    from jobyard.sync import QueueService

    service = QueueService(sys.argv[1])

    @service.handler("q", "n")
    def n(job):
        print("ran", job.data, flush=True)

    if __name__ == "__main__":
        service.add_job("q", "n", 1)
        print("added", flush=True)
        if sys.argv[2] == "run":
            service.run(poll_interval=0.1)
            print("ended", service.get_stats("q").completed, flush=True)
    """
)


def test_b08_a_script_that_never_closes_ends_by_itself(shared_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, shared_url, "add"],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "added\n", "")


def test_b08_a_signal_ends_the_run_gracefully(shared_url: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, shared_url, "run"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["added\n", "ran 1\n"]
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (0, "ended 1\n", "")


def test_b08_a_fork_is_told_to_open_its_own(shared_url: str) -> None:
    service = QueueService(shared_url)
    service.add_job("q", "n")
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            service.add_job("q", "n")
        except BackendClosed as error:
            os.write(write, str(error).encode()[:200])
        except ConfigError:
            os.write(write, b"another error")
        finally:
            os._exit(0)
    os.close(write)
    assert b"forked after the service was used" in os.read(read, 1000)
    os.close(read)
    assert os.waitpid(child, 0)[1] == 0
    service.close()
