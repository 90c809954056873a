from typing import Any

import pytest

from jobyard.cli.output import waited
from jobyard.cli.stats import STATES, lines_of, print_counts


def queue(name: str, **counts: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"queue": name, **dict.fromkeys(STATES, 0), "paused": False}
    facts["oldest_wait_seconds"] = None
    facts |= counts
    return facts | {"total": sum(facts[state] for state in STATES)}


def found(*queues: dict[str, Any]) -> dict[str, Any]:
    totals = {state: sum(q[state] for q in queues) for state in (*STATES, "total")}
    return {"url": "memory://", "namespace": "jobyard", "queues": list(queues), "totals": totals}


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


def test_a_table_has_a_row_for_each_queue_and_the_totals(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_counts(
        found(
            queue("emails", waiting=1200, oldest_wait_seconds=90.0),
            queue("reports", waiting=3, failed=2, paused=True),
        )
    )
    lines = capsys.readouterr().out.splitlines()

    assert lines[0] == "memory:// (namespace jobyard)"
    assert lines[1].split() == [
        "queue", "waiting", "delayed", "active", "completed", "failed", "oldest",
    ]  # fmt: skip
    assert lines[3].split() == ["emails", "1,200", "0", "0", "0", "0", "1.5", "min"]
    assert lines[4].split() == ["reports", "3", "0", "0", "0", "2", "-", "paused"]
    assert lines[5].split() == ["total", "1,203", "0", "0", "0", "2"]


def test_a_state_that_is_rare_has_a_column_only_when_a_job_is_in_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_counts(found(queue("emails", dead=1)))

    assert "dead" in capsys.readouterr().out


def test_no_queue_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    print_counts(found())

    assert "no queues: nothing was ever added" in capsys.readouterr().out


@pytest.mark.parametrize(
    "queues",
    [
        [queue("q" * 64, waiting=1)],
        [queue("emails", **dict.fromkeys(STATES, 1_000_000))],
    ],
)
def test_what_does_not_fit_in_80_columns_becomes_lines(
    queues: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    print_counts(found(*queues))
    out = capsys.readouterr().out

    assert max(len(line) for line in out.splitlines()) <= 80
    assert queues[0]["queue"] in out
    assert f"{queues[0]['waiting']:,} waiting" in out


def test_lines_end_with_the_totals() -> None:
    lines = lines_of(found(queue("a", waiting=1), queue("b", waiting=2, oldest_wait_seconds=1.0)))

    assert lines == [
        "a", "  1 waiting",
        "b", "  2 waiting, oldest waits for 1.0 s",
        "total", "  3 waiting",
    ]  # fmt: skip


def test_an_empty_queue_is_said_to_be_empty() -> None:
    assert lines_of(found(queue("a"))) == ["a", "  empty"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0, "0.0 s"),
        (59.9, "59.9 s"),
        (60, "1.0 min"),
        (7_200, "2.0 h"),
        (86_400, "1.0 d"),
    ],
)
def test_a_time_of_waiting_is_written_in_its_largest_unit(seconds: float | None, text: str) -> None:
    assert waited(seconds) == text
