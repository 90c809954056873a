"""`jobyard top`: what it shows, in which width, and how it refreshes."""

import io
import os
import pty
import signal
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from jobyard import QueueService
from jobyard.cli.screen import draw
from jobyard.cli.snapshot import Rates
from jobyard.metrics import Bucket, Metrics

NOW = 1_795_700_000_000


def queue(name: str, **facts: Any) -> dict[str, Any]:
    counts = dict.fromkeys(
        ("waiting", "delayed", "blocked", "active", "completed", "failed", "dead", "total"), 0
    )
    rates = {"added_per_second": 0.0, "completed_per_second": 0.0, "failed_per_second": 0.0}
    return {
        "queue": name, "paused": False, "oldest_wait_seconds": None, **counts, **rates, **facts,
    }  # fmt: skip


def worker(name: str, **facts: Any) -> dict[str, Any]:
    return {
        "id": name, "state": "running", "active": 0, "concurrency": 10, "queues": ["emails"],
        "up_seconds": 5.0, "seen_seconds_ago": 1.0, **facts,
    }  # fmt: skip


def failure(number: int, message: str = "no address") -> dict[str, Any]:
    return {
        "id": f"job-{number}", "queue": "emails", "name": "send", "state": "failed",
        "reason": "exhausted", "finished_at": "2026-11-27T02:03:04.123+00:00",
        "error": {"type": "ValueError", "message": message},
    }  # fmt: skip


def snapshot(**facts: Any) -> dict[str, Any]:
    return {
        "url": "sqlite:///jobs.db", "namespace": "jobyard", "product": "SQLite", "version": "3",
        "round_trip_ms": 0.5, "now_ms": NOW, "queues": [], "workers": [], "failures": [], **facts,
    }  # fmt: skip


def shown(found: dict[str, Any], *, width: int = 80, height: int = 100_000, foot: str = "") -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, highlight=False)
    console.print(draw(found, width=width, height=height, foot=foot))
    return out.getvalue()


FULL = snapshot(
    queues=[
        queue(
            "q" * 64, waiting=123_456_789, delayed=99_999, active=10_000, failed=1_234_567,
            added_per_second=12_345.6, completed_per_second=99_999.9, oldest_wait_seconds=5_999.0,
            paused=True,
        ),
        queue("emails", waiting=9_999, dead=3),
    ],
    workers=[worker("host" * 20, queues=["a" * 64, "b"], active=1_000, concurrency=1_000)],
    failures=[failure(n, "long " * 50 + "\x1b[31m") for n in range(5)],
)  # fmt: skip


def test_it_fits_in_80_columns_and_needs_no_colour() -> None:
    text = shown(FULL, foot="every 2 s; Ctrl-C ends it")

    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    lines = text.splitlines()
    row = next(line for line in lines if line.startswith("qqq"))
    assert row.split() == [
        "qqqqqqqqqqqqq", "paused", "123M", "100.0k", "10.0k", "1.2M", "12.3k", "100k", "1.7", "h",
    ]  # fmt: skip
    assert "02:03:04  emails/send  job-0" in lines
    assert any(line.startswith("          ValueError: long long") for line in lines)
    assert "every 2 s; Ctrl-C ends it" in text


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("height", [10, 24, 50])
def test_it_fits_in_the_terminal_there_is(width: int, height: int) -> None:
    many = snapshot(
        queues=[queue(f"queue-{n}", waiting=n) for n in range(100)],
        workers=[worker(f"worker-{n}", active=n) for n in range(100)],
        failures=[failure(n) for n in range(5)],
    )
    text = shown(many, width=width, height=height, foot="the end")

    assert max(map(len, text.splitlines())) <= width
    assert len(text.splitlines()) <= max(height, 18)  # which shows two lines of each
    assert "more queues" in text
    assert "more workers" in text


def test_what_is_cut_matters_least() -> None:
    queues = [queue("a"), queue("busy", active=3), queue("b"), queue("long", waiting=9)]
    text = shown(snapshot(queues=queues * 10, workers=[]), height=24)

    assert "busy" in text
    assert "and 28 more queues" in text or "more queues" in text
    assert "\na " not in text


def test_nothing_at_all_is_said_in_words() -> None:
    text = shown(snapshot())

    assert "no queues: nothing was ever added" in text
    assert "no workers: nobody runs jobs" in text
    assert "no failures" in text


def metrics(added: int, *minutes: Bucket, **counts: int) -> Metrics:
    return Metrics(total=Bucket(queue="q", added=added, **counts), minutes=minutes)


def test_the_first_rate_is_over_the_minutes() -> None:
    now = 600_030_000
    minute = Bucket(queue="q", at=600_000_000 // 60_000 * 60_000, added=45, completed=9)
    found = Rates().of("q", metrics(1_000, minute, completed=500), now)
    seconds = (now - (now // 60_000 - 1) * 60_000) / 1000

    assert found["added_per_second"] == round(45 / seconds, 2)
    assert found["completed_per_second"] == round(9 / seconds, 2)
    assert found["failed_per_second"] == 0


def test_later_rates_are_over_the_time_watched_up_to_ten_seconds() -> None:
    rates, found = Rates(), {}
    for second in range(30):
        # 5 a second at first, 20 a second from second 10 on.
        added = 5 * min(second, 10) + 20 * max(0, second - 10)
        found = rates.of("q", metrics(added), NOW + second * 1000)
    assert found["added_per_second"] == 20


def test_a_queue_that_counts_anew_has_no_negative_rate() -> None:
    rates = Rates()
    rates.of("q", metrics(1_000, completed=900), NOW)
    found = rates.of("q", metrics(1, completed=0), NOW + 2_000)

    assert found["added_per_second"] >= 0
    assert found["completed_per_second"] >= 0


async def busy(service: QueueService) -> None:
    @service.handler("emails", "bad")
    async def bad(job):
        message = "no address"
        raise ValueError(message)

    await service.add_jobs("emails", [("bad", None)] * 2)
    await service.run_until_idle()
    await service.add_job("emails", "send")
    await service.pause_queue("emails")


def test_where_there_is_no_terminal_it_prints_once(run, store) -> None:
    store(busy)
    ran = run("top")

    assert (ran.code, ran.err) == (0, "")
    assert "emails paused 1 0 0 2" in ran.words
    assert "ValueError: no address" in ran.out
    assert "no workers: nobody runs jobs" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_it_prints_json_once(run, store) -> None:
    store(busy)
    found = run("top", "--json").json

    (shown_queue,) = found["queues"]
    assert (shown_queue["failed"], shown_queue["paused"]) == (2, True)
    assert shown_queue["failed_per_second"] > 0
    assert [job["error"]["message"] for job in found["failures"]] == ["no address"] * 2
    assert found["workers"] == []


def test_it_does_not_look_too_often(run, url) -> None:
    ran = run("top", "--interval", "0")

    assert ran.code == 2
    assert "it is at least 0.1 s" in ran.error


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_in_a_terminal_it_refreshes_until_ctrl_c(command: list[str], store, url: str) -> None:
    store(busy)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*command, "top", url, "--interval", "0.1"],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "80", "LINES": "24", "TERM": "xterm", "NO_COLOR": "1"},
    )
    os.close(theirs)
    seen = b""
    try:
        while seen.count(b"jobyard top") < 2:
            seen += os.read(ours, 65_536)
        store(lambda s: s.add_jobs("letters", [("write", None)] * 3))
        while b"letters" not in seen:
            seen += os.read(ours, 65_536)
        process.send_signal(signal.SIGINT)
        rest = drained(ours)
        code = process.wait()
    finally:
        process.kill()
        _, err = process.communicate()
        os.close(ours)
    assert (code, err) == (0, b"")
    assert b"\x1b[?1049h" in seen  # a screen of its own,
    assert b"\x1b[?1049l" in seen + rest  # which it leaves


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_that_draws_nothing_anew_is_shown_it_once(
    command: list[str], store, url: str
) -> None:
    store(busy)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*command, "top", url],
        stdin=theirs,
        stdout=theirs,
        env={**os.environ, "COLUMNS": "80", "TERM": "dumb"},
    )
    os.close(theirs)
    seen = drained(ours)
    os.close(ours)
    assert process.wait() == 0
    assert b"latest failures" in seen
    assert b"\x1b" not in seen


def drained(terminal: int) -> bytes:
    """Reads what a terminal still holds: the other side may wait for that."""
    rest = b""
    while True:
        try:
            more = os.read(terminal, 65_536)
        except OSError:  # nobody has the other side open any more
            return rest
        if not more:
            return rest
        rest += more
