"""`jobyard schedules`."""

from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("url")


def add(run, *more: str) -> Any:
    return run(
        "schedules", "add", "nightly", "reports", "write", '{"all": true}', *more, "--json"
    ).json


def test_a_schedule_is_added_and_shown(run) -> None:
    added = add(
        run, "--cron", "0 2 * * *", "--timezone", "Europe/Berlin", "--overlap", "skip",
        "--catch-up", "none", "--limit", "3", "-o", "priority=5",
    )  # fmt: skip

    assert (added["key"], added["queue"], added["name"]) == ("nightly", "reports", "write")
    assert (added["data"], added["cron"], added["every_seconds"]) == (
        {"all": True}, "0 2 * * *", None,
    )  # fmt: skip
    assert (added["timezone"], added["overlap"], added["catch_up"]) == (
        "Europe/Berlin", "skip", "none",
    )  # fmt: skip
    assert run("schedules", "show", "nightly", "--json").json == added
    assert "0 2 * * *" in run("schedules", "show", "nightly").out
    assert run("schedules", "list", "--json").json == {"schedules": [added]}
    assert "nightly reports/write 0 2 * * * Europe/Berlin" in run("schedules", "list").words


def test_a_schedule_ticks_at_an_interval(run) -> None:
    added = add(run, "--every", "5m", "--start", "2099-01-01T00:00:00Z")

    assert (added["every_seconds"], added["next_at"]) == (300, "2099-01-01T00:00:00+00:00")
    assert "every 300 s" in run("schedules", "list", "--queue", "reports").out
    assert run("schedules", "list", "--queue", "emails").out == "no schedules\n"


def test_a_schedule_is_paused_resumed_triggered_and_removed(run, store) -> None:
    add(run, "--every", "1h")

    assert run("schedules", "pause", "nightly").out == "nightly paused\n"
    assert "paused" in run("schedules", "list").out
    assert run("schedules", "resume", "nightly", "--json").json["paused"] is False
    job_id = run("schedules", "trigger", "nightly").out.strip()
    assert store(lambda s: s.get_job(job_id)).data == {"all": True}

    assert run("schedules", "remove", "nightly", stdin="n\n").code == 2
    assert run("schedules", "remove", "nightly", "--yes").out == "nightly removed\n"
    assert run("schedules", "list", "--json").json == {"schedules": []}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "none"], "there is no schedule none"),
        (["pause", "none"], "there is no schedule none"),
        (["remove", "none", "--yes"], "there is no schedule none"),
        (["add", "k", "q"], "every=… (seconds) or cron='…'"),
        (["add", "k", "q", "--every", "5", "--cron", "* * * * *"], "one of the two"),
        (["add", "k", "q", "--cron", "tomorrow"], "the cron expression 'tomorrow' cannot be"),
        (["add", "k", "q", "--cron", "* * * * *", "--timezone", "Mars"], "'Mars' is not a time"),
        (["add", "k", "q", "--every", "5", "--overlap", "maybe"], "'maybe' is not one of"),
        (["add", "k", "q", "--every", "5", "-o", "delay=5"], "share no delay"),
        (["add", "k", "q", "n", "{", "--every", "5"], "the payload is no JSON"),
    ],
)
def test_what_cannot_be_done_is_said(run, arguments: list[str], says: str) -> None:
    ran = run("schedules", *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert says in ran.error
