"""`jobyard add`, one job or a file of them."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from jobyard.cli import bulk

pytestmark = pytest.mark.usefixtures("url")


def test_a_job_is_added_as_it_is_said(run, store) -> None:
    ran = run(
        "add", "emails", "send", '{"user": 1}', "--id", "mine", "--priority", "high",
        "--attempts", "3", "--delay", "5m", "-o", "timeout=30", "-o", 'tags=["a"]', "-o", "ttl=7d",
    )  # fmt: skip

    assert (ran.code, ran.out, ran.err) == (0, "mine\n", "")
    job = store(lambda s: s.get_job("mine"))
    assert (job.queue, job.name, job.data, job.tags) == ("emails", "send", {"user": 1}, ("a",))
    assert (job.state, job.priority, job.attempts) == ("delayed", 10, 3)
    assert (job.due_at - job.created_at).total_seconds() == 300
    assert (job.expires_at - job.created_at).days == 7


def test_a_job_may_have_a_number_for_priority_and_an_instant(run, store) -> None:
    run("add", "emails", "--id", "a", "--priority", "-7", "--run-at", "2099-01-01T00:00:00+01:00")
    run("add", "emails", "--id", "b", "-o", "run_at=2099-01-01T00:00:00Z", "-o", "priority=7")

    a, b = store(lambda s: s.get_job("a")), store(lambda s: s.get_job("b"))
    assert (a.priority, b.priority, a.name) == (-7, 7, "")
    assert (b.due_at - a.due_at).total_seconds() == 3_600


def test_a_job_that_is_there_is_said_to_be(run) -> None:
    assert run("add", "emails", "--id", "a", "--json").json == {
        "id": "a",
        "state": "waiting",
        "duplicate": False,
    }
    assert run("add", "emails", "--id", "a").out == "a (was there already, waiting)\n"
    assert run("add", "emails", "--id", "a", "--json").json["duplicate"] is True


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["emails", "send", "{user: 1}"], "the payload is no JSON"),
        (["emails", "send", "NaN"], "would not come back equal"),
        (["e mails"], "queue name"),
        (["emails", "--priority", "urgent"], "priority is -100 to 100"),
        (["emails", "--attempts", "0"], "attempts is a whole number from 1"),
        (["emails", "--delay", "soon"], "'soon' is no duration: write seconds, or"),
        (["emails", "--run-at", "2099-01-01"], "is no instant with a time zone"),
        (["emails", "--run-at", "2199-01-01T00:00:00Z"], "is no instant"),
        (["emails", "--delay", "1", "--run-at", "2099-01-01T00:00:00Z"], "give delay or run_at"),
        (["emails", "-o", "tiemout=3"], "'tiemout'; did you mean 'timeout'?"),
        (["emails", "-o", "timeout"], "write name=value"),
        (["emails", "-o", "timeout=x"], "'x' is no duration"),
        (["emails", "-o", "timeout=-1"], "timeout is a number of seconds"),
        (["emails", "-o", "lifo=1"], "lifo is True or False"),
        (["emails", "-o", "timeout=1", "-o", "timeout=2"], "timeout is given twice"),
        (["emails", "-o", "attempts=1", "--attempts", "2"], "attempts is given twice"),
        (["emails", "--id-prefix", "x"], "it belongs to --from"),
        (["emails", "send", "1", "--from", "-"], "the payloads are in the file"),
        (["emails", "--from", "none.jsonl"], "none.jsonl: No such file or directory"),
        (["emails", "--from", "."], "Is a directory"),
    ],
)
def test_what_cannot_be_added_is_said(run, store, arguments: list[str], says: str) -> None:
    ran = run("add", *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert says in ran.error
    assert store(lambda s: s.list_jobs()) == []


def write(*lines: Any) -> str:
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    Path("jobs.jsonl").write_text(text)
    return "jobs.jsonl"


def test_the_jobs_of_a_file_are_added_in_order(run, store) -> None:
    file = write(
        {"data": 1},
        "",
        {"name": "other", "data": [2], "options": {"priority": "low", "job_id": "mine"}},
        {"name": "later", "options": {"delay": "1h"}},
    )
    ran = run("add", "emails", "send", "--from", file, "--attempts", "4")

    assert (ran.code, ran.out, ran.err) == (0, "added 3 jobs\n", "")
    jobs = store(lambda s: s.list_jobs())
    assert [(j.name, j.data, j.attempts) for j in jobs] == [
        ("send", 1, 4), ("other", [2], 4), ("later", None, 4),
    ]  # fmt: skip
    assert [(j.priority, j.state) for j in jobs[1:]] == [(-10, "waiting"), (0, "delayed")]


def test_many_lines_are_added_in_chunks(run, store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "CHUNK_JOBS", 10)
    lines = "".join(f'{{"data": {n}}}\n' for n in range(101))
    ran = run("add", "emails", "send", "--from", "-", "--json", stdin=lines)

    assert ran.json == {"added": 101, "duplicates": 0}
    jobs = store(lambda s: s.list_jobs(limit=1_000))
    assert [job.data for job in jobs] == list(range(101))


def test_a_chunk_is_bounded_in_bytes_too(run, store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "CHUNK_BYTES", 100)
    lines = "".join(f'{{"data": "{"x" * 60}"}}\n' for n in range(7))

    assert run("add", "emails", "--from", "-", stdin=lines).out == "added 7 jobs\n"
    assert store(lambda s: s.get_stats("emails")).waiting == 7


def test_adding_a_file_again_adds_what_is_missing(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "CHUNK_JOBS", 2)
    broken = write({"data": 1}, {"data": 2}, {"data": 3}, "{")
    ran = run("add", "emails", "--from", broken, "--id-prefix", "import-")
    assert ran.code == 2
    assert "line 4: " in ran.err
    assert "the 2 jobs before it are stored" in ran.err

    mended = write({"data": 1}, {"data": 2}, {"data": 3}, {"data": 4})
    ran = run("add", "emails", "--from", mended, "--id-prefix", "import-")
    assert ran.out == "added 2 jobs, 2 were there already\n"
    assert run("jobs", "show", "import-4", "--json").json["data"] == 4


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 3: Input data was truncated"),
        ("[1]", "line 3: Expected `object`, got `array`"),
        ({"dta": 1}, "line 3: Object contains unknown field `dta`"),
        ({"data": 1, "options": {"priority": "urgent"}}, "line 3: priority is -100 to 100"),
        ({"data": 1, "options": {"tiemout": 1}}, "line 3: unknown job option 'tiemout'; did"),
        ({"data": 1, "options": {"delay": "soon"}}, "line 3: 'soon' is no duration"),
        ({"data": 1, "options": {"run_at": "2099-01-01"}}, "line 3: '2099-01-01' is no instant"),
        ({"data": "x" * 300_000}, "line 3: the payload is 300,002 bytes"),
        ({"data": "x" * 5_000_000}, "line 3: the line is longer than 4,194,304 bytes"),
    ],
)
def test_a_line_that_cannot_be_added_is_named(run, store, line: Any, says: str) -> None:
    ran = run("add", "emails", "--from", write({"data": 1}, "", line))

    assert (ran.code, ran.out) == (2, "")
    assert says in ran.error
    assert "nothing was stored" in ran.err
    assert store(lambda s: s.list_jobs()) == []


def test_long_work_has_a_bar_where_there_is_a_terminal(
    run, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = io.StringIO()

    def make_console(*, to_stderr: bool = False) -> Console:
        assert to_stderr
        return Console(file=drawn, force_terminal=True, width=80, color_system=None)

    monkeypatch.setattr("jobyard.cli.output.make_console", make_console)
    monkeypatch.setattr(bulk, "CHUNK_JOBS", 2)
    assert run("add", "emails", "--from", write(*[{"data": n} for n in range(6)])).code == 0
    assert "adding" in drawn.getvalue()
    assert "100%" in drawn.getvalue()
    assert "6 jobs" in drawn.getvalue()

    drawn.truncate(0)
    assert run("queue", "drain", "emails", "--yes").out == "deleted 6 jobs\n"
    assert "draining" in drawn.getvalue()
    assert "100%" in drawn.getvalue()
