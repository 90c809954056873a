"""The URL that chooses a store: parsed once, shown without its secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal, TypeVar, get_args, get_origin
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

import msgspec

from jobyard.errors import InvalidUrl

__all__ = ["LONGEST_SECRET", "BackendUrl", "masked"]

Options = TypeVar("Options", bound=msgspec.Struct)

PASSWORD: Final = re.compile(r"(\w://[^:/@\s]{0,256}):\S{0,1024}@")
OPTION: Final = re.compile(r"(?i)([?&](?:password|passwd|pass|secret|token)=)[^&\s]{1,1024}")
"""What is secret in a URL; bounded, so that no text takes long to look through."""

LONGEST_SECRET: Final = 1_536
"""More characters than such a URL has that is still recognised."""

EXAMPLES = "sqlite:///jobs.db, postgresql://user@host/database, redis://host:6379/0 or memory://"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendUrl:
    """A store's address. Its text forms mask the password and the values of unknown options."""

    scheme: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    host: str | None = None
    port: int | None = None
    path: str = ""
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    @classmethod
    def parse(cls, url: str) -> BackendUrl:
        """Read a URL; raise `InvalidUrl`, which never quotes it, when it cannot be read."""
        parts = _split(url)
        if not parts.scheme or "://" not in url:
            msg = f"the URL has no scheme; it should look like {EXAMPLES}"
            raise InvalidUrl(msg)
        if parts.fragment:
            msg = "the URL has a '#': write it as %23 in a password or a path"
            raise InvalidUrl(msg)
        return cls(
            scheme=parts.scheme.lower(),
            username=_unquoted(parts.username),
            password=_unquoted(parts.password),
            host=parts.hostname,
            port=parts.port,
            path=unquote(parts.path),
            options=_options(parts),
        )

    def without_option(self, name: str) -> tuple[BackendUrl, str | None]:
        """Split off one option: the URL without it, and its value."""
        rest = dict(self.options)
        value = rest.pop(name, None)
        return replace(self, options=MappingProxyType(rest)), value

    def read_options(self, record: type[Options]) -> Options:
        """Read the options into a backend's own record of them.

        Raises `InvalidUrl`, naming the options there are, for one that is unknown or whose value
        does not fit.
        """
        known = {f.encode_name for f in msgspec.structs.fields(record)}
        unknown = sorted(set(self.options) - known)
        if unknown:
            msg = (
                f"{self.scheme}:// has no option {', '.join(map(repr, unknown))}; "
                f"it has {', '.join(sorted(known)) or 'none'}"
            )
            raise InvalidUrl(msg)
        try:
            return msgspec.convert(dict(self.options), record, strict=False)
        except msgspec.ValidationError as error:
            misfit = _misfit(error, record)
        raise InvalidUrl(f"an option of the {self.scheme}:// URL does not fit: {misfit}")

    def __str__(self) -> str:
        """Show the address, with the password masked and the options left out."""
        user = "" if self.username is None else quote(self.username, safe="")
        if self.password is not None:
            user += ":***"
        host = "" if self.host is None else self.host
        if ":" in host:
            host = f"[{host}]"
        if self.port is not None:
            host += f":{self.port}"
        return f"{self.scheme}://{user}{'@' if user else ''}{host}{quote(self.path)}"


def masked(text: str) -> str:
    """Put *** in place of what is secret in the URLs of a text.

    >>> masked("cannot reach redis://ann:secret@host:6379/0")
    'cannot reach redis://ann:***@host:6379/0'
    """
    if "://" not in text:
        return text
    return OPTION.sub(r"\1***", PASSWORD.sub(r"\1:***@", text))


def _split(url: str) -> SplitResult:
    """Split a URL.

    The error of the standard library quotes what it cannot read, which may be a part of a password:
    ours is raised when that one is gone, so that it is not its context either.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = None
    if parts is None:
        msg = (
            f"the URL cannot be parsed; it should look like {EXAMPLES}. In a user name or a "
            "password write / as %2F, # as %23, ? as %3F, @ as %40, [ as %5B"
        )
        raise InvalidUrl(msg)
    return parts


def _misfit(error: msgspec.ValidationError, record: type[msgspec.Struct]) -> str:
    """Say which option is meant, and what it may be where that is one of a few words."""
    what, _, place = str(error).partition(" - at `$.")
    name = place.rstrip("`")
    for each in msgspec.structs.fields(record):
        words = _words(each.type)
        if each.encode_name == name and words:
            return f"{name} is {' or '.join(map(str, words))}"
    return f"{name}: {what}" if name else what


def _words(kind: object) -> tuple[object, ...]:
    """Give the words that a type allows, if it allows only some, or nothing besides them."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(word for each in get_args(kind) for word in _words(each))


def _unquoted(part: str | None) -> str | None:
    return None if part is None else unquote(part)


def _options(parts: SplitResult) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        pairs = None
    if pairs is None:
        raise InvalidUrl("the options after '?' in the URL should look like name=value&name=value")
    options = dict(pairs)
    if len(options) != len(pairs):
        msg = "an option is given twice in the URL"
        raise InvalidUrl(msg)
    return MappingProxyType(options)
