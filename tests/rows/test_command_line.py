"""The commands that look after queues do the same on every store."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from jobyard import QueueService
from jobyard.cli.commands import build
from jobyard.plugins import Plugins


class Store:
    """A store that the commands are run on, by its URL in the environment."""

    def __init__(self, url: str) -> None:
        self.url = url

    def text(self, *arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(typer.Typer(), list(arguments))
        assert result.exit_code == code, result.output
        return result.output

    def json(self, *arguments: str) -> Any:
        return json.loads(self.text(*arguments, "--json"))

    def states(self) -> dict[str, str]:
        return {job["id"]: job["state"] for job in self.json("jobs", "list")["jobs"]}

    def work(self) -> None:
        """Runs what there is: each job named bad fails."""

        async def main() -> None:
            async with QueueService(self.url) as service:

                @service.handler("emails", "send")
                async def send(job):
                    return job.data

                @service.handler("emails", "bad")
                async def bad(job):
                    message = "no address"
                    raise ValueError(message)

                await service.run_until_idle()

        asyncio.run(main())


@pytest.fixture
def store(shared_url: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("JOBYARD_URL", shared_url)
    monkeypatch.setenv("COLUMNS", "80")
    # Put together once: that takes longer than most commands.
    command = get_command(build(Plugins([])))
    monkeypatch.setattr("typer.testing._get_command", lambda app: command)
    return Store(shared_url)


def test_the_commands_do_the_same_on_every_store(store: Store, tmp_path) -> None:
    store.text("migrate", "--check", code=1)
    assert store.json("migrate")["prepared"] is True
    lines = tmp_path / "jobs.jsonl"
    lines.write_text(
        "".join(
            f'{{"name": "{name}", "data": {at}, "options": {{"job_id": "{name}-{at}"}}}}\n'
            for at, name in enumerate(("send", "send", "bad"))
        )
    )
    assert store.json("add", "emails", "--from", str(lines)) == {"added": 3, "duplicates": 0}
    assert store.json("add", "emails", "--from", str(lines)) == {"added": 0, "duplicates": 3}
    store.work()
    store.text("add", "emails", "send", "1", "--id", "later", "--delay", "1h")
    store.text("add", "emails", "send", "1", "--id", "now")

    assert store.states() == {
        "send-0": "completed", "send-1": "completed", "bad-2": "failed", "later": "delayed",
        "now": "waiting",
    }  # fmt: skip
    shown = store.json("jobs", "show", "bad-2")
    assert (shown["data"], shown["error"]["message"]) == (2, "no address")
    store.text("jobs", "cancel", "now")
    store.text("jobs", "retry", "bad-2")
    store.text("jobs", "promote", "later")
    store.text("jobs", "remove", "send-0", "--yes")
    assert store.states() == {
        "send-1": "completed", "bad-2": "waiting", "later": "waiting", "now": "cancelled",
    }  # fmt: skip

    store.text("queue", "pause", "emails")
    (queue,) = store.json("queue", "list")["queues"]
    assert (queue["paused"], queue["waiting"], queue["total"]) == (True, 2, 4)
    store.text("queue", "resume", "emails")
    top = store.json("top")
    assert top["queues"][0]["added_per_second"] > 0
    assert "jobyard top" in store.text("top")
    assert store.json("queue", "drain", "emails", "--yes") == {"removed": 2}
    cleaned = store.json("queue", "clean", "emails", "--older-than", "0", "--yes")
    assert cleaned == {"removed": 1}  # the completed one; cancelled ones are named to be cleaned
    assert store.json("queue", "obliterate", "emails", "--yes") == {"removed": 1}
    assert store.json("stats")["queues"] == []
    assert store.json("workers") == {"workers": []}


def test_the_schedules_do_the_same_on_every_store(store: Store) -> None:
    store.text("migrate")
    store.text("schedules", "add", "nightly", "reports", "write", "--cron", "0 2 * * *")
    store.text("schedules", "pause", "nightly")
    assert store.json("schedules", "list")["schedules"][0]["paused"] is True
    store.text("schedules", "resume", "nightly")
    job = store.json("schedules", "trigger", "nightly")
    assert store.states() == {job["id"]: "waiting"}
    store.text("schedules", "remove", "nightly", "--yes")
    assert store.json("schedules", "list") == {"schedules": []}


def test_every_store_can_be_measured(store: Store) -> None:
    assert len(store.json("bench", "--jobs", "10")["measures"]) == 4
