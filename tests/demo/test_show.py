"""The demo from end to end, with worker processes of its own."""

import asyncio
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from jobyard import QueueService
from jobyard.demo import show as showing
from jobyard.demo.place import NAMESPACE
from jobyard.demo.reading import Reading
from jobyard.demo.screen import Screen
from jobyard.demo.show import show
from jobyard.demo.tree import Entry, Snapshot, portable, take_snapshot
from jobyard.errors import ConfigError
from jobyard.presence import WorkerInfo

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and names")

PLAIN_FILES = 60
ODD_NAMES = ["a b", "50%", "new\nline", "[bold]", "\x1b[31mred", os.fsdecode(b"caf\xe9")]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Makes a folder with what there is in folders."""
    root = tmp_path / "tree"
    (root / "sub" / ".git").mkdir(parents=True)
    (root / "sub" / ".git" / "config").touch()
    for number in range(PLAIN_FILES):
        (root / "sub" / f"{number}.txt").write_text(f"file {number}\n" * number)
    for name in ODD_NAMES:
        (root / name).write_text("odd\n")
    (root / "empty").touch()
    (root / "binary").write_bytes(bytes(range(256)) * 300)
    (root / "large").write_bytes(b"x y\n" * 300_000)
    (root / "link").symlink_to("empty")
    (root / "loop").symlink_to(".")
    os.mkfifo(root / "pipe")
    return root


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes the folder in which the demo puts its database."""
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr("tempfile.tempdir", None)
    return place


FILES = PLAIN_FILES + len(ODD_NAMES) + 3


def test_the_demo_loses_nothing_when_a_worker_is_killed(tree: Path, place: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "jobyard", "demo", str(tree), "--keep"],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )
    words = " ".join(ran.stdout.split())

    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert "left out .git, 2 symbolic links, 1 special file" in words
    killed = re.search(r"(worker \d) killed \(SIGKILL\) with (\d) jobs? in hand: (file-\d+)", words)
    assert killed is not None, ran.stdout
    name, number, held = killed.groups()
    assert re.search(rf"{number} jobs? of {name} taken back, \d+\.\d s after the kill", words)
    assert f"files {FILES} {FILES} same" in words
    assert "DIFFERS" not in words
    assert "All right: a worker was killed, yet nothing is lost" in words
    assert max(len(line) for line in ran.stdout.splitlines() if "sqlite" not in line) <= 80

    (folder,) = place.iterdir()
    assert f"stats sqlite:///{folder}/jobs.db" in ran.stdout
    asyncio.run(look_at(f"sqlite:///{folder}/jobs.db", held, crashed=int(number)))


async def look_at(url: str, held: str, *, crashed: int) -> None:
    """Checks by hand what the demo reported."""
    async with QueueService(url, migrate="check") as service:
        metrics = await service.get_metrics("index")
        jobs = [job async for job in service.iter_jobs("index")]
        job = await service.get_job(held)
        summary = await service.get_job("summary")
    assert {job.state for job in jobs} == {"completed"}
    assert len(jobs) == metrics.completed == metrics.added == FILES
    assert {job.result["path"] for job in jobs} >= {portable(name) for name in ODD_NAMES}
    assert sum(job.failures for job in jobs) == metrics.retried == 2
    assert job.crashes >= 1, "more if the machine is too slow to renew a lease in time"
    assert metrics.crashed >= crashed
    # More where a lease could not be renewed in time, and the worker gave the job back by itself.
    assert metrics.started >= FILES + metrics.retried + metrics.crashed
    assert summary.result["files"] == FILES


@pytest.mark.parametrize("store", ["postgres", "redis"])
def test_the_demo_runs_on_a_server_made_for_it(tree: Path, place: Path, store: str) -> None:
    on, text = screen()

    code = asyncio.run(show(tree, on, store=store))

    shown = text.getvalue()
    assert code == 0, shown
    assert "server of its own" in shown
    assert "All right: a worker was killed, yet nothing is lost" in shown
    assert list(place.iterdir()) == []


def test_the_demo_runs_in_a_yard_of_its_own_on_a_store_that_there_is(
    tree: Path, place: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    asyncio.run(add_one(url))
    on, text = screen()

    code = asyncio.run(show(tree, on, url=url))

    shown = text.getvalue()
    assert code == 0, shown
    assert "All right: a worker was killed, yet nothing is lost" in shown
    assert asyncio.run(queues_of(url)) == (["index"], [])
    asyncio.run(a_worker_lives(url))
    with pytest.raises(ConfigError, match=r"a demo runs on .* try again later"):
        asyncio.run(show(tree, on, url=url))
    assert list(place.iterdir()) == []


async def a_worker_lives(url: str) -> None:
    """Tell of a worker of a demo, as one that runs elsewhere does."""
    async with QueueService(url, namespace=NAMESPACE) as demo:
        info = WorkerInfo(
            id="w", host="elsewhere", pid=1, queues=("index",), concurrency=1, active=0
        )
        await demo.backend.beat(info, ttl_ms=600_000)


async def add_one(url: str) -> None:
    async with QueueService(url) as service:
        await service.add_job("index", "of-somebody-else")


async def queues_of(url: str) -> tuple[list[str], list[str]]:
    async with QueueService(url) as own, QueueService(url, namespace=NAMESPACE) as demo:
        assert (await own.get_stats("index")).waiting == 1
        return await own.list_queues(), await demo.list_queues()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "memory://"}, "cannot be shared"),
        ({"store": "memory"}, "there is no store of memory:// for a while"),
        ({"store": "nonsense"}, "no installed backend serves nonsense://"),
        ({"store": "postgres", "keep": True}, "leave out --keep"),
    ],
)
def test_a_store_that_the_demo_cannot_run_on_is_refused(
    tmp_path: Path, place: Path, options: dict[str, Any], message: str
) -> None:
    on, _ = screen()
    with pytest.raises(ConfigError, match=message):
        asyncio.run(show(tmp_path, on, **options))
    assert list(place.iterdir()) == []


def screen() -> tuple[Screen, io.StringIO]:
    text = io.StringIO()
    return Screen(Console(file=text, width=80)), text


def test_what_differs_is_told_with_exit_code_1(
    tree: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = showing.walk

    def tampered(snapshot: Snapshot) -> dict[str, Reading]:
        readings = walk(snapshot)
        return readings | {"empty": replace(readings["empty"], lines=1)}

    def unsteady(root: Path, *, limit: int) -> Snapshot:
        snapshot = take_snapshot(root, limit=limit)
        snapshot.entries += [
            Entry(path="vanished", size=1, mtime_ns=1),
            replace_size(snapshot.entries.pop(), 1_000),
        ]
        return snapshot

    # Who looks on is slow: a worker is caught with jobs in hand all the same.
    monkeypatch.setattr("jobyard.demo.watch.LOOK_SECONDS", 1.5)
    monkeypatch.setattr(showing, "walk", tampered)
    monkeypatch.setattr(showing, "take_snapshot", unsteady)
    on, text = screen()

    code = asyncio.run(show(tree, on))

    shown = text.getvalue()
    assert code == 1
    assert re.search(r"lines +[\d,]+ +[\d,]+ +DIFFERS", shown)
    assert re.search(r"killed \(SIGKILL\) with \d jobs? in hand", shown)
    assert "NOT RIGHT:\n  empty: lines 0 instead of 1\n" in shown
    assert "Changed or vanished meanwhile, so not compared:\n  sub/9.txt\n  vanished\n" in shown
    assert [folder.name for folder in place.iterdir()] == [folder_in(shown)]


def replace_size(entry: Entry, size: int) -> Entry:
    return Entry(path=entry.path, size=size, mtime_ns=entry.mtime_ns)


def folder_in(shown: str) -> str:
    found = re.search(r"jobyard-demo-\w+", shown)
    assert found is not None
    return found[0]


def test_an_empty_folder_has_nothing_to_index(tmp_path: Path, place: Path) -> None:
    (tmp_path / "empty").mkdir()
    on, text = screen()

    code = asyncio.run(show(tmp_path / "empty", on))

    assert (code, list(place.iterdir())) == (0, []), text.getvalue()
    words = " ".join(text.getvalue().split())
    assert "empty: no files" in words
    assert "All right: nothing is lost" in words


@pytest.fixture
def running(tree: Path, place: Path) -> Iterator[subprocess.Popen[str]]:
    # A run in the background of a shell ignores SIGINT, and so would what it starts.
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "jobyard", "demo", str(tree)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGINT, ours)
    yield process
    process.kill()
    process.communicate()


def test_an_interrupted_demo_leaves_nothing_behind(
    running: subprocess.Popen[str], place: Path
) -> None:
    assert running.stdout is not None
    pids = []
    for line in running.stdout:
        if found := re.search(r"started \(pid (\d+)\)", line):
            pids.append(int(found[1]))
        if len(pids) == 2:
            break
    running.send_signal(signal.SIGINT)
    running.communicate()

    assert running.returncode == 130
    assert list(place.iterdir()) == []
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
