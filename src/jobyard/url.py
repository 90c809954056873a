"""The URL that chooses a store: parsed once, shown without its secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, TypeVar, get_args, get_origin
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

import msgspec

from jobyard.errors import InvalidUrl

__all__ = ["BackendUrl"]

Options = TypeVar("Options", bound=msgspec.Struct)

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
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            msg = f"the URL cannot be parsed; it should look like {EXAMPLES}"
            raise InvalidUrl(msg) from None
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
            port=port,
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
            msg = f"an option of the {self.scheme}:// URL does not fit: {_misfit(error, record)}"
            raise InvalidUrl(msg) from None

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


def _misfit(error: msgspec.ValidationError, record: type[msgspec.Struct]) -> str:
    """Say which option is meant, and what it may be where that is one of a few words."""
    what, _, place = str(error).partition(" - at `$.")
    name = place.rstrip("`")
    for each in msgspec.structs.fields(record):
        words = get_args(each.type) if get_origin(each.type) is Literal else ()
        if each.encode_name == name and words:
            return f"{name} is {' or '.join(map(str, words))}"
    return f"{name}: {what}" if name else what


def _unquoted(part: str | None) -> str | None:
    return None if part is None else unquote(part)


def _options(parts: SplitResult) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        msg = "the options after '?' in the URL should look like name=value&name=value"
        raise InvalidUrl(msg) from None
    options = dict(pairs)
    if len(options) != len(pairs):
        msg = "an option is given twice in the URL"
        raise InvalidUrl(msg)
    return MappingProxyType(options)
