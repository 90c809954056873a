import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobyard.demo import crew as crews
from jobyard.demo.crew import Crew, DemoFailed, WorkerProcess
from jobyard.demo.place import Place


def process(tmp_path: Path, code: str) -> WorkerProcess:
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        started = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return WorkerProcess(number=1, process=started, log=log)


def crew_of(worker: WorkerProcess, tmp_path: Path) -> Crew:
    place = Place(url="memory://", summary="in memory", lasts=False)
    crew = Crew(place, tmp_path, tmp_path, pace=0.0)
    crew.everybody.append(worker)
    crew.working.append(worker)
    return crew


WAITS = "import sys; sys.stdin.read()"


def test_a_worker_that_ends_by_itself_is_told_with_what_it_wrote(tmp_path: Path) -> None:
    worker = process(tmp_path, "raise SystemExit('no such thing')")
    crew = crew_of(worker, tmp_path)
    worker.process.wait()

    with pytest.raises(DemoFailed, match=r"worker 1 ended by itself \(exit code 1\):\nno such"):
        crew.check()
    asyncio.run(crew.dismiss())


def test_a_frozen_worker_is_killed_and_buried(tmp_path: Path) -> None:
    worker = process(tmp_path, WAITS)
    crew = crew_of(worker, tmp_path)

    worker.freeze()
    crew.check()
    crew.bury(worker)

    assert worker.process.returncode == -9
    assert (crew.working, crew.everybody) == ([], [worker])
    crew.check()


def test_a_thawed_worker_goes_on(tmp_path: Path) -> None:
    worker = process(tmp_path, WAITS)

    worker.freeze()
    worker.thaw()
    assert worker.process.stdin is not None
    worker.process.stdin.close()

    assert worker.process.wait() == 0


def test_a_worker_that_ended_just_before_is_not_taken_for_frozen(tmp_path: Path) -> None:
    worker = process(tmp_path, "raise SystemExit(3)")
    # Waits for the end and leaves it to be seen by whoever waits next.
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)

    worker.freeze()

    assert worker.process.returncode == 3
    asyncio.run(worker.stop())


def test_a_worker_that_does_not_end_when_asked_is_killed_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crews, "GRACE_SECONDS", 0.05)
    worker = process(
        tmp_path,
        "import signal, sys; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); "
        "sys.stdin.read()",
    )
    crew = crew_of(worker, tmp_path)
    while "deaf" not in worker.tail():
        pass

    (told,) = asyncio.run(crew.dismiss())

    assert told == "worker 1 did not stop gracefully (exit code -9):\ndeaf"
    assert crew.working == []
