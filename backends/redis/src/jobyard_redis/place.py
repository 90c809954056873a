"""Where the server is, and how it was asked to be used."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from jobyard.errors import ConfigError, InvalidUrl
from jobyard.url import BackendUrl

NAMESPACE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
DATABASE: Final = re.compile(r"/?[0-9]{0,5}")
ENCRYPTED: Final = "rediss"
PORT: Final = 6379


class RedisOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a `redis://` URL.

    With `strict=true` a server that cannot keep what was acknowledged is refused at opening.
    `timeout` and `connect_timeout` are seconds to wait for an answer and for a connection,
    `connections` is the most that a handle opens. `db` is the number of the database for a
    `unix://` URL, whose path is the socket's. `ca_file` has the authorities that a `rediss://`
    server's certificate is checked with; `verify=false` checks none.
    """

    strict: bool = False
    timeout: float = 10.0
    connect_timeout: float = 5.0
    connections: int = 16
    db: int = 0
    ca_file: str | None = None
    verify: bool = True


def options_of(url: BackendUrl) -> RedisOptions:
    """Read the options; raise `InvalidUrl` for what cannot be."""
    options = url.read_options(RedisOptions)
    for name in ("timeout", "connect_timeout"):
        if not 0 < getattr(options, name) <= 3600:
            raise InvalidUrl(f"{name} in the {url.scheme} URL is a number of seconds up to 3600")
    if not 1 <= options.connections <= 10_000:
        raise InvalidUrl(f"connections in the {url.scheme} URL is a number from 1 to 10000")
    if "db" in url.options and url.scheme != "unix":
        raise InvalidUrl(f"the {url.scheme} URL has its database in its path, as in {url}/0")
    if options.db < 0:
        raise InvalidUrl("db in the unix URL is the number of a database, 0 or more")
    tls = {"ca_file", "verify"} & set(url.options)
    if tls and url.scheme != ENCRYPTED:
        raise InvalidUrl(f"{', '.join(sorted(tls))} is for rediss:// URLs, which are encrypted")
    return options


def connect_to(url: BackendUrl, options: RedisOptions) -> dict[str, Any]:
    """Read the address as the driver takes it; raise `InvalidUrl` for what cannot be."""
    login = {"username": url.username, "password": url.password}
    if url.scheme == "unix":
        if url.host is not None or url.port is not None or not url.path.strip("/"):
            raise InvalidUrl("a unix URL has a path alone: unix:///run/redis/redis.sock?db=0")
        return {"unix_socket_path": url.path, "db": options.db, **login}
    if not DATABASE.fullmatch(url.path):
        raise InvalidUrl(
            f"the path of a {url.scheme} URL is the number of a database: "
            f"{url.scheme}://host:6379/0"
        )
    place = {
        "host": url.host or "localhost",
        "port": PORT if url.port is None else url.port,
        "db": int(url.path.strip("/") or 0),
        **login,
    }
    if url.scheme == ENCRYPTED:
        place["ssl"] = True
        place["ssl_cert_reqs"] = "required" if options.verify else "none"
        place["ssl_check_hostname"] = options.verify
        place["ssl_ca_certs"] = options.ca_file
    return place


def yard_of(namespace: str) -> str:
    """Name the key that a namespace's keys begin with; its tag keeps them in one slot."""
    if not NAMESPACE.fullmatch(namespace):
        raise ConfigError("a namespace is 1 to 64 of the characters A-Z a-z 0-9 _ . -")
    return f"jobyard:{{{namespace}}}"
