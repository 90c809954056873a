"""`jobyard queue`."""

import pytest

from jobyard import QueueService, RateLimit

pytestmark = pytest.mark.usefixtures("filled")


@pytest.fixture
def filled(store) -> None:
    async def fill(service: QueueService) -> None:
        @service.handler("emails", "send")
        async def send(job):
            return None

        await service.add_jobs("emails", [("send", n) for n in range(2)])
        await service.run_until_idle()
        await service.add_jobs("emails", [("send", n) for n in range(3)])
        await service.add_job("emails", "send", delay=3_600)
        await service.add_job("reports", "write")
        await service.limit_queue("reports", concurrency=2, rate=RateLimit(5, 60))

    store(fill)


def test_queues_are_listed_with_what_limits_them(run) -> None:
    run("queue", "pause", "reports")
    emails, reports = run("queue", "list", "--json").json["queues"]

    assert (emails["queue"], emails["waiting"], emails["delayed"]) == ("emails", 3, 1)
    assert (emails["total"], emails["completed"], emails["limits"]) == (6, 2, [])
    assert (reports["paused"], reports["limits"][0]["concurrency"]) == (True, 2)
    assert reports["limits"][0]["rate"] == {"count": 5, "seconds": 60}
    assert "paused, 2 at once, 5 in 60 s" in run("queue", "list").words


def test_queues_are_paused_and_resumed(run) -> None:
    assert run("queue", "pause", "emails", "reports").out == "emails paused\nreports paused\n"
    assert all(queue["paused"] for queue in run("stats", "--json").json["queues"])
    assert run("queue", "resume", "emails", "--json").json == {
        "queues": ["emails"],
        "done": "resumed",
    }
    assert [queue["paused"] for queue in run("stats", "--json").json["queues"]] == [False, True]


@pytest.mark.parametrize("command", ["pause", "resume", "drain", "obliterate"])
def test_a_queue_that_is_not_there_is_not_made_by_a_slip(run, command: str) -> None:
    ran = run("queue", command, "emials")

    assert (ran.code, ran.out) == (2, "")
    assert "there is no queue 'emials'; there are emails, reports" in ran.err
    assert len(run("queue", "list", "--json").json["queues"]) == 2


def test_a_queue_is_drained(run) -> None:
    ran = run("queue", "drain", "emails", stdin="y\n")
    assert (ran.code, ran.out) == (0, "deleted 3 jobs\n")
    assert "Delete the 3 waiting jobs of emails?" in ran.err

    assert run("queue", "drain", "emails", "--delayed", "--yes", "--json").json == {"removed": 1}
    assert run("stats", "--json").json["totals"]["total"] == 3


def test_a_queue_is_cleaned(run) -> None:
    assert run("queue", "clean", "emails", "--older-than", "1h", "--yes").out == "deleted 0 jobs\n"
    ran = run("queue", "clean", "--older-than", "0", "--state", "completed", stdin="y\n")
    assert ran.out == "deleted 2 jobs\n"
    assert "Delete the completed jobs of every queue?" in ran.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--older-than", "0", "--state", "waiting", "--yes"], "only finished jobs are cleaned"),
        (["--older-than", "0", "--state", "wait", "--yes"], "'wait' is not one of"),
        (["--older-than", "soon", "--yes"], "'soon' is no duration"),
        (["--yes"], "--older-than"),
    ],
)
def test_what_cannot_be_cleaned_is_said(run, arguments: list[str], says: str) -> None:
    ran = run("queue", "clean", *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert says in ran.error


def test_a_queue_is_obliterated(run) -> None:
    ran = run("queue", "obliterate", "emails", stdin="y\n")

    assert (ran.code, ran.out) == (0, "deleted 6 jobs\n")
    assert "Delete emails with its 6 jobs and all counts?" in ran.err
    assert [queue["queue"] for queue in run("queue", "list", "--json").json["queues"]] == [
        "reports"
    ]


def test_a_queue_whose_jobs_run_is_obliterated_by_force_alone(run, store) -> None:
    store(lambda s: s.claim("emails"))

    ran = run("queue", "obliterate", "emails", "--yes")
    assert (ran.code, ran.out) == (2, "")
    assert "QueueNotEmpty" in ran.err
    assert run("queue", "obliterate", "emails", "--yes", "--force").out == "deleted 6 jobs\n"


@pytest.mark.parametrize("command", ["drain", "obliterate"])
def test_a_queue_is_not_emptied_without_agreement(run, command: str) -> None:
    assert run("queue", command, "emails", stdin="n\n").code == 2
    assert run("queue", command, "emails", stdin="").code == 2
    assert run("stats", "--json").json["totals"]["total"] == 7


def test_long_work_tells_how_far_it_is(store) -> None:
    async def work(service: QueueService) -> list[int]:
        told: list[int] = []
        await service.add_jobs("emails", [("send", n) for n in range(2_000)])
        removed = await service.drain_queue("emails", progress=told.append)
        assert told[-1] == removed == 2_003
        return told

    told = store(work)
    assert told == sorted(told)
