"""The commands that look, and the command line as a whole."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from jobyard import QueueService
from jobyard.cli import app as entry
from jobyard.cli import doctor as examining
from jobyard.cli import plugins as listing
from jobyard.cli.commands import build
from jobyard.health import Finding, Severity
from jobyard.plugins import PluginInfo, Plugins

NONE = Plugins([])
COMMANDS = (
    "demo", "worker", "add", "stats", "top", "workers", "events", "migrate", "doctor", "bench",
    "plugins",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOBYARD_URL", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Makes a store with two queues, one of them paused."""
    url = f"sqlite:///{tmp_path / 'jobs.db'}"

    async def fill() -> None:
        async with QueueService(url) as service:
            await service.add_jobs("emails", [("send", n) for n in range(3)])
            await service.add_job("reports", "write", delay=3600)
            await service.pause_queue("reports")

    asyncio.run(fill())
    return url


def run(*arguments: str, installed: Plugins = NONE) -> Result:
    return CliRunner().invoke(build(installed), list(arguments))


def words(text: str) -> str:
    return " ".join(text.split())


# -- stats -------------------------------------------------------------------------------------


def test_stats_shows_the_queues_of_a_store(url: str) -> None:
    result = run("stats", url)

    assert (result.exit_code, result.stderr) == (0, "")
    assert "emails 3 0 0 0 0" in words(result.stdout)
    assert "reports 0 1 0 0 0 - paused" in words(result.stdout)
    assert "total 3 1 0 0 0" in words(result.stdout)


def test_stats_takes_the_store_from_the_environment(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBYARD_URL", url)

    assert "emails" in run("stats").stdout


def test_stats_can_print_json(url: str) -> None:
    found = json.loads(run("stats", url, "--json").stdout)

    assert (found["url"], found["namespace"]) == (url, "jobyard")
    assert [(q["queue"], q["waiting"], q["delayed"], q["paused"]) for q in found["queues"]] == [
        ("emails", 3, 0, False),
        ("reports", 0, 1, True),
    ]
    assert found["queues"][0]["oldest_wait_seconds"] >= 0
    assert found["queues"][1]["oldest_wait_seconds"] is None
    assert found["totals"]["total"] == 4


def test_stats_looks_at_one_namespace(url: str) -> None:
    async def fill() -> None:
        async with QueueService(url, namespace="other") as service:
            await service.add_job("letters", "write")

    asyncio.run(fill())
    found = json.loads(run("stats", url, "--namespace", "other", "--json").stdout)

    assert found["namespace"] == "other"
    assert [queue["queue"] for queue in found["queues"]] == ["letters"]


@pytest.mark.parametrize("command", ["stats", "doctor"])
def test_a_store_must_be_named(command: str) -> None:
    result = run(command)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "jobyard: error: which store? Give a URL" in result.stderr


@pytest.mark.parametrize("command", ["stats", "doctor"])
def test_a_store_that_was_never_prepared_is_an_error(command: str, tmp_path: Path) -> None:
    result = run(command, f"sqlite:///{tmp_path / 'none.db'}")

    assert result.exit_code == 2
    assert "nothing was prepared for this version of jobyard at sqlite://" in result.stderr


@pytest.mark.parametrize("command", ["stats", "doctor"])
def test_a_store_out_of_reach_is_an_error(command: str, tmp_path: Path) -> None:
    result = run(command, f"sqlite:///{tmp_path}")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("jobyard: ")


@pytest.mark.parametrize("command", ["stats", "doctor"])
@pytest.mark.parametrize(
    "secret", ["acme://ann:s3cret@host/db", "acme://host/db?password=s3cret", "acme://:s3cret@host"]
)
def test_a_password_in_the_arguments_is_warned_of_and_never_shown(
    command: str, secret: str
) -> None:
    result = run(command, secret)

    assert result.exit_code == 2
    assert "jobyard: warning: other users of this machine can see the password" in result.stderr
    assert "s3cret" not in result.output


def test_a_password_in_the_environment_is_not_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBYARD_URL", "acme://ann:s3cret@host/db")

    result = run("stats")

    assert "warning" not in result.stderr
    assert "s3cret" not in result.output


# -- doctor ------------------------------------------------------------------------------------


def finding(severity: Severity) -> Finding:
    return Finding(subject="journal", severity=severity, text="it is as it is")


@pytest.mark.parametrize(("severity", "code"), [(Severity.OK, 0), (Severity.WARNING, 1)])
def test_doctor_tells_what_it_finds(
    url: str, monkeypatch: pytest.MonkeyPatch, severity: Severity, code: int
) -> None:
    async def inspect(self: QueueService) -> list[Finding]:
        return [finding(severity)]

    monkeypatch.setattr(QueueService, "inspect", inspect)
    shown, as_json = run("doctor", url), run("doctor", url, "--json")
    found = json.loads(as_json.stdout)

    assert (shown.exit_code, as_json.exit_code) == (code, code)
    assert "SQLite" in shown.stdout
    assert f"{severity} journal it is as it is" in words(shown.stdout)
    assert found["findings"] == [
        {"subject": "journal", "severity": severity, "text": "it is as it is"}
    ]
    assert found["product"] == "SQLite"
    assert abs(found["clock_ahead_seconds"]) < 60


def test_doctor_counts_its_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    facts = {
        "url": "acme://host",
        "namespace": "jobyard",
        "product": "Acme",
        "version": "1",
        "round_trip_ms": 1.0,
        "clock_ahead_seconds": -2.0,
    }
    warning = {"subject": "[a]", "severity": "warning", "text": "w" * 200}
    examining.print_findings({**facts, "findings": [warning, warning]})
    out = capsys.readouterr().out

    assert "its clock is 2.0 s behind this one" in out
    assert out.endswith("2 warnings\n")
    assert "[a]" in out
    assert max(map(len, out.splitlines())) <= 80


# -- plugins -----------------------------------------------------------------------------------


def test_plugins_are_listed_with_their_schemes() -> None:
    result = run("plugins")
    found = {
        plugin["name"]: plugin for plugin in json.loads(run("plugins", "--json").stdout)["plugins"]
    }

    assert result.exit_code == 0
    assert "sqlite jobyard-sqlite" in words(result.stdout)
    assert found["sqlite"]["schemes"] == ["sqlite"]
    assert found["sqlite"]["distribution"] == "jobyard-sqlite"
    assert found["memory"]["version"] == found["sqlite"]["version"]


def test_a_broken_plugin_is_shown_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = PluginInfo(
        name="acme", distribution="jobyard-acme", version="2.0", error=ImportError("no driver")
    )

    class Broken:
        installed = (broken,)

    monkeypatch.setattr(listing, "load_plugins", Broken)
    result = run("plugins")

    assert result.exit_code == 1
    assert "acme jobyard-acme 2.0 not loaded" in words(result.stdout)
    assert "acme could not be loaded: ImportError: no driver" in result.stdout


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    module = tmp_path / "acme_commands.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    yield module
    sys.modules.pop("acme_commands", None)


def acme_plugins() -> Plugins:
    return Plugins([EntryPoint("acme", "acme_commands", "jobyard")])


def test_a_plugin_adds_commands(acme: Path) -> None:
    acme.write_text(
        "from jobyard.hookspecs import hookimpl\n"
        "@hookimpl\n"
        "def jobyard_commands(app):\n"
        "    @app.command()\n"
        "    def acme(name: str) -> None:\n"
        "        print(f'acme does {name}')\n"
    )

    assert run("acme", "it", installed=acme_plugins()).stdout == "acme does it\n"
    assert "acme" in run("--help", installed=acme_plugins()).stdout


def test_a_plugin_whose_hook_fails_leaves_the_other_commands(
    acme: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    acme.write_text(
        "from jobyard.hookspecs import hookimpl\n"
        "@hookimpl\n"
        "def jobyard_commands(app):\n"
        "    raise ValueError('broken')\n"
    )

    assert run("stats", url, installed=acme_plugins()).exit_code == 0
    assert "the commands of a plugin could not be added: ValueError: broken" in (
        capsys.readouterr().err
    )


# -- the whole ---------------------------------------------------------------------------------


def test_the_help_lists_the_commands_and_the_exit_codes_in_80_columns() -> None:
    result = run("--help")

    for command in (*COMMANDS, "jobs", "queue", "schedules"):
        assert f"\n  {command} " in result.stdout
    assert "Exit codes: 0 done; 1 done, but" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.parametrize("group", ["jobs", "queue", "schedules"])
def test_a_group_lists_its_commands(group: str) -> None:
    result = run(group, "--help")

    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_the_version_is_shown() -> None:
    assert run("--version").stdout.startswith("jobyard 0.")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("jobyard qu", "queue"),
        ("jobyard queue ob", "obliterate"),
        ("jobyard jobs list --st", "--state"),
        ("jobyard jobs list --state fa", "failed"),
    ],
)
def test_the_shell_completes_commands_options_and_values(typed: str, offered: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "jobyard"],
        env={
            **os.environ,
            "_JOBYARD_COMPLETE": "complete_bash",
            "COMP_WORDS": typed,
            "COMP_CWORD": str(len(typed.split()) - 1),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert offered in ran.stdout.split()


def test_an_unknown_command_is_a_usage_error() -> None:
    assert run("nonsense").exit_code == 2


def test_a_folder_that_is_not_there_cannot_be_indexed(tmp_path: Path) -> None:
    result = run("demo", str(tmp_path / "none"))

    assert result.exit_code == 2
    assert result.stderr.endswith("none: No such file or directory\n")


@pytest.mark.parametrize("name", ["typer", "rich"])
def test_without_the_extra_it_says_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(entry, "find_spec", lambda needed: None if needed == name else needed)

    with pytest.raises(SystemExit) as ended:
        entry.main()

    assert ended.value.code == 2
    assert f"needs {name}, which is not installed" in capsys.readouterr().err


def test_the_module_runs_as_the_command_does() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "jobyard", "--version"], capture_output=True, text=True, check=True
    )

    assert ran.stdout.startswith("jobyard ")


def test_the_help_imports_neither_a_driver_nor_what_one_command_needs() -> None:
    code = (
        "import sys; from jobyard.cli.commands import build; build(); "
        "print(*sorted({'rich.console', 'rich.table', 'sqlalchemy', 'jobyard.demo.show', "
        "'croniter'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout == "\n"


def test_output_that_is_no_unicode_is_no_error(url: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "jobyard", "stats", url],
        env={"PYTHONIOENCODING": "ascii", "PATH": ""},
        capture_output=True,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.isascii()
