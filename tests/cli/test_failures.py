import pytest
import typer
from typer.testing import CliRunner

from jobyard.cli.failures import Commands, ExitCode
from jobyard.errors import BackendUnavailable, ConfigError
from jobyard.url import masked

SECRET = "redis://ann:s3cret@host:6379/0"


def app_that(raises: Exception | None = None) -> typer.Typer:
    app = typer.Typer(cls=Commands, pretty_exceptions_enable=False)

    @app.callback()
    def top(*, debug: bool = False) -> None: ...

    @app.command()
    def go(number: int = 0) -> None:
        if raises is not None:
            raise raises

    return app


def test_an_error_of_jobyards_is_a_line_and_exit_code_2() -> None:
    result = CliRunner().invoke(app_that(ConfigError("set it up")), ["go"])

    assert (result.exit_code, result.stdout) == (ExitCode.FAILED, "")
    assert result.stderr == "jobyard: error: set it up\n"


def test_an_error_of_the_store_says_its_kind() -> None:
    result = CliRunner().invoke(app_that(BackendUnavailable("gone")), ["go"])

    assert result.stderr == "jobyard: BackendUnavailable: gone\n"


def test_debug_shows_the_traceback() -> None:
    result = CliRunner().invoke(app_that(ConfigError("set it up")), ["--debug", "go"])

    assert result.exit_code == ExitCode.FAILED
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("jobyard: error: set it up\n")


def test_an_error_that_is_not_jobyards_is_not_hidden() -> None:
    result = CliRunner().invoke(app_that(KeyError("bug")), ["go"])

    assert isinstance(result.exception, KeyError)


def test_no_error_is_exit_code_0() -> None:
    assert CliRunner().invoke(app_that(), ["go"]).exit_code == ExitCode.OK


@pytest.mark.parametrize(
    "arguments", [["go", SECRET], ["go", "--number", SECRET], [SECRET], ["go", f"--{SECRET}"]]
)
def test_a_usage_error_does_not_show_a_password(arguments: list[str]) -> None:
    result = CliRunner().invoke(app_that(), arguments)

    assert result.exit_code == 2
    assert "s3cret" not in result.output


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (SECRET, "redis://ann:***@host:6379/0"),
        ("redis://:s3cret@host", "redis://:***@host"),
        ("at redis://ann:a:b@c@host, twice", "at redis://ann:***@host, twice"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("sqlite:///a@b.db", "sqlite:///a@b.db"),
        ("mail ann@example.org", "mail ann@example.org"),
    ],
)
def test_a_password_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_a_password_with_a_slash_is_masked_to_its_end() -> None:
    assert masked("no redis://ann:s3/cr@et@host/0") == "no redis://ann:***@host/0"
