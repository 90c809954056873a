"""What the docs say of the command line is so."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from jobyard import QueueService
from jobyard.cli.failures import ExitCode
from jobyard.cli.worker import worker

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "how-to" / "command-line.md").read_text(encoding="utf-8")
SHAPES = (DOCS / "reference" / "json.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return SHAPES.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def words(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


async def fill(service: QueueService) -> None:
    @service.handler("emails", "bad")
    async def bad(job):
        message = "no address"
        raise ValueError(message)

    await service.add_job("emails", "bad")
    await service.run_until_idle()
    await service.add_schedule("nightly", "emails", "bad", every=60)
    await service.limit_queue("emails", concurrency=1)


def test_every_key_of_a_shape_is_documented(run, store) -> None:
    store(fill)
    (job,) = run("jobs", "list", "--json").json["jobs"]
    assert set(job) == words(section("A job")) - {
        "null", "message", "type", "data", "data_base64",
    }  # fmt: skip
    whole = run("jobs", "show", job["id"], "--json").json
    assert set(whole) - set(job) == {"data", "data_base64", "result", "logs"}
    assert set(whole["error"]) == {"type", "message", "traceback"}

    (schedule,) = run("schedules", "list", "--json").json["schedules"]
    assert set(schedule) == words(section("A schedule"))

    (queue,) = run("queue", "list", "--json").json["queues"]
    (limit,) = queue.pop("limits")
    assert {*queue, *limit, "name", "count", "seconds"} == words(section("A queue")) - {"null"}

    top = run("top", "--json").json
    row = next(line for line in SHAPES.splitlines() if line.startswith("| `top`"))
    assert {*top, *(set(top["queues"][0]) - set(queue))} == words(row) - {"top"}


@pytest.mark.parametrize("command", ["stats", "migrate", "doctor", "bench --jobs 10", "plugins"])
def test_every_key_of_a_document_is_documented(run, url: str, command: str) -> None:
    ran = run(*command.split(), "--json")
    found: dict[str, Any] = json.loads(ran.out)

    name = command.split(maxsplit=1)[0]
    row = next(line for line in SHAPES.splitlines() if line.startswith(f"| `{name}`"))
    assert set(found) <= words(row)
    inner: list[Any] = next(
        (each for each in found.values() if isinstance(each, list) and each), [{}]
    )
    if name != "stats":
        assert set(inner[0]) <= words(row)


def test_every_exit_code_is_documented() -> None:
    table = PAGE.split("## Exit codes", 1)[1]

    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == {
        *ExitCode,
        130,
    }


def test_every_option_of_the_worker_is_documented() -> None:
    documented = set(re.findall(r"^\| `--([a-z-]+)", PAGE, re.MULTILINE))

    options = {name.replace("_", "-") for name in worker.__annotations__} - {"return", "app"}
    assert documented == options - {"parent"}


def test_every_command_is_documented(run) -> None:
    listed = re.findall(r"^  ([a-z]+)  ", run("--help").out, re.MULTILINE)

    assert len(listed) >= 14
    assert [name for name in listed if f"| `jobyard {name}" not in PAGE] == []


def test_the_pictures_fetch_nothing_from_elsewhere() -> None:
    for name in ("top", "demo"):
        picture = (DOCS / "pictures" / f"{name}.svg").read_text(encoding="utf-8")
        assert "@font-face" not in picture
        assert "url(http" not in picture
