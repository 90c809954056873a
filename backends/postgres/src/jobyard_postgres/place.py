"""Where the database is, and how it was asked to behave."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

import msgspec

from jobyard.errors import InvalidUrl
from jobyard.url import BackendUrl

SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,39}")

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


class PostgresOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a `postgresql://` URL.

    `schema` is where the tables are; it is created if it is not `public` and missing.
    `durability=fast` lets the last commits be lost when the server crashes (never when a client
    does). `pool_size` is the most connections of one handle, besides one that listens. `timeout`
    is for how many seconds a call waits for the server's answer, `connect_timeout` for a
    connection. With `listen=off` workers of other processes are not woken; they find new jobs when
    they poll. `listen_url` is another address of the same database, to listen by where `pool_size`
    connections go through a pooler that hands a connection to another client after each
    transaction. The server keeps the calls of a connection parsed, unless something like a pooler
    is found in between (`prepare=auto`); `on` is for a pooler that can keep them, `off` for none.
    `host` is a folder with the server's socket. The options beginning with `ssl`,
    `application_name` and `target_session_attrs` are libpq's.
    """

    schema: str = "public"
    durability: Literal["full", "fast"] = "full"
    pool_size: int = 8
    timeout: float = 60.0
    connect_timeout: float = 10.0
    listen: Literal["auto", "off"] = "auto"
    listen_url: str | None = None
    prepare: Literal["auto", "on", "off"] = "auto"
    host: str | None = None
    application_name: str = "jobyard"
    sslmode: SslMode | None = None
    sslrootcert: str | None = None
    sslcert: str | None = None
    sslkey: str | None = None
    target_session_attrs: (
        Literal["any", "read-write", "read-only", "primary", "standby", "prefer-standby"] | None
    ) = None


DRIVER_OPTIONS: Final = (
    "host",
    "application_name",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "target_session_attrs",
)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """How to connect: `main` for calls, `listening` for notices, as parameters of the driver."""

    options: PostgresOptions
    main: dict[str, Any]
    listening: dict[str, Any]

    @property
    def secrets(self) -> tuple[str, ...]:
        """The passwords, which no message may show."""
        found = (params.get("password") for params in (self.main, self.listening))
        return tuple(password for password in found if password)


def check_schema(schema: str) -> str:
    """Return the name of a schema if it can be one; raise `InvalidUrl` else."""
    if SCHEMA.fullmatch(schema) is None or schema.startswith("pg_"):
        raise InvalidUrl(
            f"the schema {schema!r} must be a letter from a to z or '_', then at most 39 of a to "
            "z, 0 to 9 and '_', and not begin with 'pg_'"
        )
    return schema


def place_of(url: BackendUrl) -> Place:
    """Read a URL; raise `InvalidUrl` for what cannot be."""
    options = url.read_options(PostgresOptions)
    check_schema(options.schema)
    for name, least, most in (
        ("pool_size", 1, 1_000),
        ("timeout", 0.1, 3_600),
        ("connect_timeout", 0.1, 3_600),
    ):
        if not least <= getattr(options, name) <= most:
            raise InvalidUrl(f"{name} in the {url.scheme} URL is a number from {least} to {most}")
    main = _parameters(url, options)
    listening = main if options.listen_url is None else _listening(options.listen_url)
    return Place(options=options, main=main, listening=listening)


def _listening(text: str) -> dict[str, Any]:
    url = BackendUrl.parse(text)
    if url.scheme not in {"postgresql", "postgres"}:
        raise InvalidUrl("listen_url in the URL must begin with postgresql://")
    options = url.read_options(PostgresOptions)
    if options.listen_url is not None:
        raise InvalidUrl("listen_url in the URL must not have a listen_url itself")
    return _parameters(url, options)


def _parameters(url: BackendUrl, options: PostgresOptions) -> dict[str, Any]:
    database = url.path.removeprefix("/")
    if not database or "/" in database:
        raise InvalidUrl(
            f"the {url.scheme} URL must name one database: postgresql://user@host/database"
        )
    if url.host and options.host:
        raise InvalidUrl(f"the {url.scheme} URL names a host twice: before the path and as option")
    parameters: dict[str, Any] = {
        "host": url.host or None,
        "port": url.port,
        "user": url.username,
        "password": url.password,
        "dbname": database,
        "connect_timeout": max(round(options.connect_timeout), 2),
        "client_encoding": "utf8",
        "tcp_user_timeout": round(options.timeout * 1_000),
    }
    for name in DRIVER_OPTIONS:
        value = getattr(options, name)
        if value is not None:
            parameters[name] = value
    parameters = {name: value for name, value in parameters.items() if value is not None}
    if any("\0" in value for value in parameters.values() if isinstance(value, str)):
        raise InvalidUrl(f"the {url.scheme} URL has a NUL character")
    return parameters
