"""URLs: read once, shown without secrets."""

from __future__ import annotations

import contextlib
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobyard.errors import InvalidUrl
from jobyard.url import BackendUrl


class Options(msgspec.Struct, frozen=True, kw_only=True):
    size: int = 1
    fast: bool = False
    mode: Literal["full", "half"] = "full"


def test_the_parts_are_read_and_unquoted() -> None:
    url = BackendUrl.parse("redis://us%40er:p%2Fw@host:6379/a%20b?size=3")
    assert (url.scheme, url.username, url.password) == ("redis", "us@er", "p/w")
    assert (url.host, url.port, url.path) == ("host", 6379, "/a b")
    assert dict(url.options) == {"size": "3"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sqlite:///jobs.db", "sqlite:///jobs.db"),
        ("sqlite:////var/jobs.db?durability=fast", "sqlite:////var/jobs.db"),
        ("redis://u:secret@host:1/0?password=secret", "redis://u:***@host:1/0"),
        ("redis://:secret@host", "redis://:***@host"),
        ("postgresql://[::1]:5432/db", "postgresql://[::1]:5432/db"),
    ],
)
def test_the_text_form_masks_secrets(text: str, shown: str) -> None:
    url = BackendUrl.parse(text)
    assert str(url) == shown
    assert "secret" not in repr(url)


def test_options_are_typed_and_unknown_ones_refused() -> None:
    url = BackendUrl.parse("x://h?size=3&fast=true")
    assert url.read_options(Options) == Options(size=3, fast=True)
    with pytest.raises(InvalidUrl, match="it has fast, mode, size"):
        BackendUrl.parse("x://h?sise=3").read_options(Options)
    with pytest.raises(InvalidUrl, match=r"does not fit: size: Expected `int`"):
        BackendUrl.parse("x://h?size=many").read_options(Options)
    with pytest.raises(InvalidUrl, match=r"does not fit: mode is full or half$"):
        BackendUrl.parse("x://h?mode=secret").read_options(Options)
    with pytest.raises(InvalidUrl, match="twice"):
        BackendUrl.parse("x://h?size=1&size=2")
    with pytest.raises(InvalidUrl, match="name=value"):
        BackendUrl.parse("x://h?size")


def test_an_option_can_be_split_off() -> None:
    url, namespace = BackendUrl.parse("x://h?namespace=a&size=1").without_option("namespace")
    assert (namespace, dict(url.options)) == ("a", {"size": "1"})


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_a_clear_error(text: str) -> None:
    with contextlib.suppress(InvalidUrl):
        assert str(BackendUrl.parse(text))


@given(st.text(min_size=12, alphabet=st.characters(min_codepoint=48, max_codepoint=122)))
def test_no_error_quotes_the_password(password: str) -> None:
    try:
        shown = repr(BackendUrl.parse(f"redis://user:{password}@[bad"))
    except InvalidUrl as error:
        shown = str(error)
    assert password not in shown
