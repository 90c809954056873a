"""Which store a command works on."""

from pathlib import Path

import pytest

from jobyard.cli.config import Config, find_place, read_config
from jobyard.errors import ConfigError


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JOBYARD_URL", raising=False)


def write(text: str) -> None:
    Path("jobyard.toml").write_text(text)


def test_what_is_given_comes_before_the_environment_and_that_before_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write('url = "sqlite:///file.db"')
    assert find_place(None, None).url == "sqlite:///file.db"

    monkeypatch.setenv("JOBYARD_URL", "sqlite:///env.db")
    assert find_place(None, None).url == "sqlite:///env.db"
    assert find_place("sqlite:///given.db", None).url == "sqlite:///given.db"


def test_the_namespace_of_the_file_goes_with_its_url(monkeypatch: pytest.MonkeyPatch) -> None:
    write('url = "sqlite:///file.db"\nnamespace = "letters"')

    assert find_place(None, None).namespace == "letters"
    assert find_place(None, "other").namespace == "other"
    assert find_place("sqlite:///given.db", None).namespace is None


def test_without_the_file_nothing_is_configured() -> None:
    assert read_config() == Config()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("url = ", "is no TOML"),
        ("url = 1", "does not fit"),
        ('uri = "sqlite:///jobs.db"', "unknown field `uri`; it may say url, namespace, app"),
    ],
)
def test_a_file_that_cannot_be_understood_is_an_error(text: str, says: str) -> None:
    write(text)

    with pytest.raises(ConfigError, match=r"jobyard\.toml in the current folder") as raised:
        read_config()
    assert says in str(raised.value)


def test_a_file_that_is_no_text_is_an_error() -> None:
    Path("jobyard.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigError, match="cannot be read"):
        read_config()


@pytest.mark.parametrize(
    "text", ['url = "redis://:s3cret@host" = 1', 'url = ["redis://:s3cret@host"]']
)
def test_an_error_of_the_file_does_not_quote_it(text: str) -> None:
    write(text)

    with pytest.raises(ConfigError) as raised:
        read_config()
    assert "s3cret" not in str(raised.value)


def test_a_store_has_to_be_named_somewhere() -> None:
    with pytest.raises(ConfigError, match=r"Give a URL.*set JOBYARD_URL.*jobyard\.toml"):
        find_place(None, None)
