"""The database behind a handle: its connections, and how a step is run on them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import psycopg
from psycopg import AsyncConnection, IsolationLevel

from jobyard.clock import Clock
from jobyard.errors import BackendUnavailable, ConfigError, JobyardError
from jobyard.home import Home
from jobyard_postgres.arrays import int4s, register
from jobyard_postgres.bell import Bell
from jobyard_postgres.cancelling import cancellations, heed
from jobyard_postgres.place import Place
from jobyard_postgres.pool import GivenPool, Lender, Pool
from jobyard_postgres.trouble import REPEATABLE, TRIES, UNPREPARED, translating
from jobyard_sql.flavor import POSTGRES
from jobyard_sql.looking import looking
from jobyard_sql.signals import signals

T = TypeVar("T")
Parameters = Sequence[Any] | Mapping[str, Any]

log = logging.getLogger(__name__)

PREPARE_AFTER: Final = 5
"""How often a connection makes a call before the server is asked to keep it parsed."""

OLDEST: Final = 14
"""The first version of PostgreSQL that the statements are made for."""


class Store:
    """An open database.

    A step is one call of a function of the namespace: one statement, in a transaction of its own.
    Nothing of it depends on which connection it runs on, so that a pooler may stand between.
    """

    def __init__(
        self,
        place: Place,
        namespace: str,
        clock: Clock | None,
        given: Lender | None = None,
    ) -> None:
        self.home = Home()
        self.schema = place.options.schema
        self.namespace = namespace
        self.options = place.options
        self.clock = clock
        self.looking = looking(namespace, POSTGRES, self.schema)
        self.signals = signals(namespace, POSTGRES, self.schema)
        self._place = place
        self._pool: Pool | GivenPool = (
            Pool(self._connect, place.options.pool_size) if given is None else GivenPool(given)
        )
        self._begins = False
        self._prepare_after = None if place.options.prepare == "off" else PREPARE_AFTER
        self.isolation = ""
        """The level that the database gives a transaction which asks for none."""
        self.is_pooled = False
        """Whether something between here and the server shares connections out.

        A pooler tells each client a number of its own for the server process.
        """
        self._calls: dict[tuple[str, int], bytes] = {}
        self._lanes: dict[int, tuple[str, str, str]] = {}
        self.bell = Bell(self._listen, self._notify, f"{self.schema}.{namespace}")

    # -- life

    async def open(self) -> None:
        """Connect once, to see that the server is there and fit."""
        with translating(self._place.secrets):
            async with self._pool.connection() as connection:
                if connection.info.server_version < OLDEST * 10_000:
                    raise ConfigError(f"PostgreSQL {OLDEST} or later is needed")
                cursor = await connection.execute(
                    "SELECT current_setting('transaction_isolation'), pg_backend_pid()"
                )
                ((self.isolation, pid),) = await cursor.fetchall()
                self.is_pooled = pid != connection.info.backend_pid
        # Steps look anew after each wait for a lock, which other levels of isolation forbid.
        self._begins = self.isolation != "read committed"
        if self.is_pooled and self.options.prepare == "auto":
            self._prepare_after = None

    async def rehearse(self) -> None:
        """Let a connection plan the hot steps, which the first job would have to wait for."""
        try:
            await self.call("rehearse")
        except JobyardError as error:
            # Nothing but time is lost, and whatever is wrong the first step will tell.
            log.info("the first job on PostgreSQL will take longer: %s", error)

    async def close(self) -> None:
        """Let go of the connections."""
        await self.bell.close()
        await self._pool.close()

    async def _connect(self) -> AsyncConnection:
        return await self._connect_to(self._place.main)

    async def _listen(self) -> AsyncConnection | None:
        if self.options.listen == "off":
            return None
        with translating(self._place.secrets):
            return await self._connect_to(self._place.listening)

    async def _connect_to(self, parameters: dict[str, Any]) -> AsyncConnection:
        before = cancellations()
        connection = await AsyncConnection.connect(
            **parameters, autocommit=True, prepare_threshold=None
        )
        try:
            await connection.set_isolation_level(IsolationLevel.READ_COMMITTED)
            register(connection)
            heed(before)
        except BaseException:  # whoever asked for it may be cancelled in the middle
            await connection.close()
            raise
        return connection

    async def _notify(self, channel: str, text: str) -> None:
        await self.rows("SELECT pg_notify(%s, %s)", (channel, text))

    # -- steps

    async def call(self, function: str, *arguments: object) -> list[Any]:
        """Run a step: call a function of the namespace and return its rows."""
        return await self.rows(self.text_of(function, len(arguments)), arguments)

    def text_of(self, function: str, count: int) -> bytes:
        """Write the statement that calls a function of the namespace with so many arguments."""
        key = (function, count)
        text = self._calls.get(key)
        if text is None:
            marks = ", ".join(["%s"] * count)
            name = f'"{self.schema}"."{self.namespace}_{function}"'
            text = self._calls[key] = f"SELECT * FROM {name}({marks})".encode()
        return text

    async def call_one(self, function: str, *arguments: object) -> Any:
        """Run a step that answers with one row."""
        (row,) = await self.call(function, *arguments)
        return row

    async def rows(self, sql: str | bytes, parameters: Parameters = ()) -> list[Any]:
        """Run one statement and return its rows; one that others undid is begun again."""
        text = sql if isinstance(sql, bytes) else sql.encode()
        for tries_left in range(TRIES - 1, -1, -1):
            try:
                return await self._attempt(text, parameters)
            except psycopg.Error as error:
                if error.sqlstate in UNPREPARED and self._prepare_after is not None:
                    # A pooler came between since, or what was kept is of other functions.
                    log.info("the server keeps no calls parsed from now on: %s", error)
                    self._prepare_after = None
                    continue
                if error.sqlstate not in REPEATABLE or not tries_left:
                    with translating(self._place.secrets):
                        raise
        raise AssertionError

    async def _attempt(self, text: bytes, parameters: Parameters) -> list[Any]:
        async def run(connection: AsyncConnection) -> list[Any]:
            if not self._begins:
                cursor = await connection.execute(text, parameters, binary=True)
                return await cursor.fetchall()
            async with connection.transaction():
                cursor = await connection.execute(text, parameters, binary=True)
                return await cursor.fetchall()

        return await self._on_connection(run)

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[AsyncConnection]:
        """Connect for somebody who may keep the connection busy: none of the pool's."""
        if isinstance(self._pool, GivenPool):
            async with self._pool.connection() as connection:
                yield connection
            return
        with translating(self._place.secrets):
            connection = await self._connect()
        async with connection:
            yield connection

    async def work(self, run: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Lend a connection to something that is not a step."""
        with translating(self._place.secrets):
            return await self._on_connection(run)

    async def _on_connection(self, run: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        seconds = self.options.timeout
        before = cancellations()
        try:
            async with asyncio.timeout(seconds), self._pool.connection() as connection:
                if isinstance(self._pool, Pool):
                    connection.prepare_threshold = self._prepare_after
                answer = await run(connection)
                heed(before)
                return answer
        except TimeoutError as error:
            raise BackendUnavailable(f"the server did not answer within {seconds:g} s") from error

    # -- what steps need

    @property
    def now(self) -> int | None:
        """The time to run a step at; `None` is the server's own."""
        return None if self.clock is None else self.clock.now_ms()

    @property
    def fast(self) -> bool:
        """Whether a commit need not be on the disk when it is acknowledged."""
        return self.options.durability == "fast"

    async def time(self) -> int:
        """Tell the time of a step that began now."""
        if self.clock is not None:
            return self.clock.now_ms()
        ((now,),) = await self.rows(
            "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::int8"
        )
        return int(now)

    async def lane_names(self, lanes: set[int]) -> dict[int, tuple[str, str, str]]:
        """Return queue, job name and channel of lanes (and of others) by number.

        A lane's number never changes and, as it is a random one, is not used again even by a server
        that has lost its last commits: what is remembered stays right.
        """
        missing = lanes - self._lanes.keys()
        if missing:
            prefix = f'"{self.schema}"."{self.namespace}_'
            rows = await self.rows(
                f'SELECT l.id, q.name, l.name, l.channel FROM {prefix}lane" l '
                f'JOIN {prefix}queue" q ON q.id = l.queue WHERE l.id = ANY (%s)',
                (int4s(sorted(missing)),),
            )
            self._lanes.update((row[0], row[1:]) for row in rows)
        return self._lanes
