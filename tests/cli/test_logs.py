import json
import logging
from typing import Any

from jobyard.cli.logs import JsonFormatter


def written(**extra: object) -> Any:
    record = logging.makeLogRecord(
        {"name": "jobyard.worker", "levelno": logging.WARNING, "levelname": "WARNING",
         "msg": "run %s\nfailed", "args": ("one",), "created": 1_795_700_000.5, **extra}
    )  # fmt: skip
    line = JsonFormatter().format(record)
    assert "\n" not in line
    return json.loads(line)


def test_a_record_is_an_object_on_a_line() -> None:
    assert written() == {
        "time": "2026-11-26T13:33:20.500+00:00",
        "level": "warning",
        "logger": "jobyard.worker",
        "message": "run one\nfailed",
    }


def test_the_facts_of_a_record_are_keys_of_their_own() -> None:
    shown = written(job_id="a", seconds=1.5, queue="emails", odd={1, 2}.__class__)

    assert (shown["job_id"], shown["seconds"], shown["queue"]) == ("a", 1.5, "emails")
    assert shown["odd"] == "<class 'set'>"


def test_a_fact_does_not_hide_the_message() -> None:
    assert written(level="none", time="none", logger="none")["level"] == "warning"


def test_an_exception_is_told_with_its_traceback() -> None:
    try:
        int("no address")
    except ValueError as error:
        shown = written(exc_info=(type(error), error, error.__traceback__))

        assert shown["exception"].startswith("Traceback")
        assert shown["exception"].endswith("'no address'")
