"""Write the reference pages that repeat what the code says: `reference.py [--check]`."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import msgspec

from jobyard import errors
from jobyard.job import JobSpec
from jobyard.options import JobOptions, RunOptions
from jobyard.retention import RetentionPolicy
from jobyard.service import QueueService

PAGES = Path(__file__).parent.parent / "docs" / "reference"
BULLET = re.compile(r"^- ((?:`\w+`(?:, )?)+): (.*(?:\n  .*)*)", re.MULTILINE)
SHOWN = {
    "priority": '`0` (`"normal"`)',
    "backoff": "exponential from 1 s, factor 2, at most 1 h, jitter 10 %",
    "retries": "`0`",
    "delay": "`0`",
    "job_id": "a new UUID (version 7)",
    "channel": "none",
    "remove_on_complete": "`False`: by the service's retention",
    "remove_on_fail": "`False`: by the service's retention",
    "headers": "none",
    "tags": "none",
}
FIELDS = {"ttl": "ttl_ms", "timeout": "timeout_ms"}


def default_of(option: str) -> str:
    """Read an option's default from the record that it ends up in."""
    if option in SHOWN:
        return SHOWN[option]
    name = FIELDS.get(option, option)
    for record in (JobSpec, RunOptions):
        for field in msgspec.structs.fields(record):
            if field.name == name:
                return f"`{field.default!r}`"
    raise LookupError(option)


def options_page() -> str:
    """Tell every option of a job."""
    doc = inspect.getdoc(JobOptions) or ""
    rows = []
    for names, text in BULLET.findall(doc):
        options = re.findall(r"`(\w+)`", names)
        defaults = dict.fromkeys(default_of(option) for option in options)
        meaning = " ".join(text.split())
        rows.append(
            f"| {', '.join(f'`{o}`' for o in options)} | {', '.join(defaults)} | {meaning} |"
        )
    told = set(re.findall(r"`(\w+)`", " ".join(names for names, _ in BULLET.findall(doc))))
    missing = set(JobOptions.__struct_fields__) - told
    if missing:
        raise SystemExit(f"JobOptions does not tell of {sorted(missing)}")
    return "\n".join(
        [
            "# Options of a job",
            "",
            "For `add_job`, `add_jobs`, each job of `add_jobs`, and for all of a service's jobs as",
            "`QueueService(defaults=JobOptions(…))`. A call wins over the service's defaults.",
            "Durations are seconds or a `timedelta`, instants are aware `datetime`s. An option",
            "that is not known raises `TypeError`, a value out of range `InvalidOption`, before",
            "anything is stored.",
            "",
            "| option | default | meaning |",
            "|---|---|---|",
            *rows,
            "",
            "## Of a service and its worker",
            "",
            "| option | default |",
            "|---|---|",
            *defaults_of(QueueService.worker),
            *defaults_of(RetentionPolicy, prefix="retention: "),
            "",
        ]
    )


def defaults_of(function: object, *, prefix: str = "") -> list[str]:
    """Tell the keywords of a call and their defaults."""
    parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    return [
        f"| {prefix}`{parameter.name}` | `{parameter.default!r}` |"
        for parameter in parameters
        if parameter.default is not inspect.Parameter.empty
    ]


def errors_page() -> str:
    """Tell every error."""
    lines = [
        "# Errors",
        "",
        "All are in `jobyard.errors` and are `JobyardError`s. Those of the store have `transient`:",
        "true if the same call may succeed later.",
        "",
        "| error | is a | what happened |",
        "|---|---|---|",
    ]
    for name in errors.__all__:
        error = getattr(errors, name)
        bases = ", ".join(f"`{base.__name__}`" for base in error.__bases__)
        meaning = (inspect.getdoc(error) or "").splitlines()[0]
        lines.append(f"| `{name}` | {bases} | {meaning} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Write the pages, or with `--check` fail if one is not as it would be written."""
    for name, text in (("options.md", options_page()), ("errors.md", errors_page())):
        page = PAGES / name
        if "--check" in sys.argv:
            if not page.exists() or page.read_text(encoding="utf-8") != text:
                raise SystemExit(f"{page} is out of date: run python tools/reference.py")
        else:
            page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
