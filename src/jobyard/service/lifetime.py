"""Opening and closing a service, and what a store says of itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Literal, NoReturn, Self

from jobyard.announce import Announcer, Listener
from jobyard.backend import Backend
from jobyard.clock import Clock
from jobyard.coalesce import Coalescer
from jobyard.edits import Declare
from jobyard.errors import BackendClosed, BackendError, ConfigError, StorageNotPrepared, WeakStorage
from jobyard.health import Finding, Health, Severity
from jobyard.hooks import Hooks
from jobyard.payloads import Codec, Payloads
from jobyard.waiting import Waiters
from jobyard.worker.wire import SettingUp

__all__ = ["URL_VARIABLE", "Lifetime", "Migrate"]

URL_VARIABLE: Final = "JOBYARD_URL"

UNGUARDED: Final = (
    "this program is started again by the process of a handler, which imports its main module: "
    'start it below `if __name__ == "__main__":`'
)

Migrate = Literal["auto", "check", "off"]


class Lifetime:
    """The part of a service that connects; the other parts use what it holds."""

    backend: Backend

    def __init__(
        self,
        store: str | Backend | None = None,
        *,
        namespace: str | None = None,
        migrate: Migrate = "auto",
        strict: bool = False,
        clock: Clock | None = None,
        codecs: Iterable[Codec] = (),
    ) -> None:
        if migrate not in {"auto", "check", "off"}:
            msg = f'migrate is "auto", "check" or "off", not {migrate!r}'
            raise ConfigError(msg)
        self._is_open = self._is_connected = self._opens_itself = False
        self.stand_on(_backend(store, namespace, clock))
        self.payloads = Payloads(codecs)
        self.hooks = Hooks()
        self._migrate = migrate
        self._strict = strict
        self._announcer = Announcer()
        self._undeclared: set[str] = set()
        self._opening: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    def stand_on(self, backend: Backend, *, opens_itself: bool = False) -> None:
        """Use another backend from now on: what a test puts in the store's place.

        With `opens_itself` the first call opens it. Raises `ConfigError` while the service is open.
        """
        if self._is_open:
            msg = f"the service is open on {self.backend.url}: close it first"
            raise ConfigError(msg)
        self.backend = backend
        self._adds = Coalescer(backend)
        self._waiters = Waiters(backend)
        self._opens_itself = opens_itself

    def abandon(self) -> None:
        """Be closed at once, without waiting for anything: what waits or listens is cancelled.

        For a store that ends with the test. One with connections would leak them: `close` that.
        """
        self._is_open = self._is_connected = False
        self._waiters.abandon()
        self._announcer.abandon()

    @property
    def resources(self) -> dict[str, Any]:
        """What the workers share: filled by hooks of the start, read as `job.resources`."""
        return self.hooks.resources

    async def open(self) -> Self:
        """Connect, and bring the store up to date as `migrate` says; again is no error.

        Raises `BackendUnavailable`, `StorageTooNew`, with `migrate="check"` `StorageNotPrepared`,
        with `strict` `WeakStorage`.
        """
        async with self._one_at_a_time():
            return self if self._is_open else await self._open()

    def _one_at_a_time(self) -> asyncio.Lock:
        """Let only one of several tasks open; a lock is of one event loop."""
        loop = asyncio.get_running_loop()
        if self._opening is None or self._opening[0] is not loop:
            self._opening = loop, asyncio.Lock()
        return self._opening[1]

    async def _open(self) -> Self:
        if SettingUp.is_now:
            raise ConfigError(UNGUARDED)
        await self.backend.open()
        try:
            await self._make_ready()
            self._is_open = self._is_connected = True
            self._announcer.attach(self.backend)
            await self._usable()
        except BaseException:
            await self._let_go()
            raise
        return self

    async def _make_ready(self) -> None:
        match self._migrate:
            case "auto":
                await self.backend.prepare()
            case "check":
                if not await self.backend.is_prepared():
                    msg = (
                        f"the store at {self.backend.url} is not prepared for this version: run "
                        'migrate() once, or open with migrate="auto"'
                    )
                    raise StorageNotPrepared(msg)
            case "off":
                pass
        if self._strict:
            weak = [f for f in await self.backend.inspect() if f.severity is Severity.WARNING]
            if weak:
                raise WeakStorage("; ".join(f"{f.subject}: {f.text}" for f in weak))

    async def close(self) -> None:
        """Let go of the store; again is no error. Events on their way are still delivered."""
        if self._is_open:
            await self._let_go()

    async def _let_go(self) -> None:
        self._is_open = self._is_connected = False
        async with contextlib.AsyncExitStack() as last_first:
            last_first.push_async_callback(self.backend.close)
            last_first.push_async_callback(self._announcer.close)
            last_first.push_async_callback(self._waiters.close)

    async def __aenter__(self) -> Self:
        """Open."""
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()

    def __enter__(self) -> NoReturn:
        """Say how to use it: this service is asynchronous."""
        msg = (
            f"{type(self).__name__} is asynchronous: write `async with` in a coroutine function, "
            "or use jobyard.sync.QueueService, which blocks"
        )
        raise TypeError(msg)

    def __exit__(self, *_: object) -> None:
        """Without this, `with` would not get as far as `__enter__`."""

    async def migrate(self) -> None:
        """Create what the store needs, or bring it up to date; safe for many to do at once."""
        if self._is_open:
            await self.backend.prepare()
            return
        await self.backend.open()
        try:
            await self.backend.prepare()
        finally:
            await self.backend.close()

    def schema_sql(self, *, schema: str | None = None) -> str:
        """Write the SQL that makes what the store needs, to be reviewed and run by hand.

        Open with `migrate="check"` afterwards. `schema` is where the tables go, if not where the
        URL says. Nothing is connected to. Raises `Unsupported` for a store that needs no SQL.
        """
        return self.backend.schema_sql(schema=schema)

    async def ping(self) -> bool:
        """Make a round trip; tell whether the store answered."""
        try:
            await self.health()
        except BackendError:
            return False
        return True

    async def health(self) -> Health:
        """Make a round trip and tell what answered; raises what the store raises."""
        try:
            health = await self.backend.ping()
        except BackendError:
            self._is_connected = False
            raise
        self._is_connected = True
        return health

    @property
    def is_connected(self) -> bool:
        """Whether the service is open and its latest `ping` was answered."""
        return self._is_connected

    def connection_info(self) -> dict[str, object]:
        """Tell where this service is connected to; never a password."""
        return {
            "url": str(self.backend.url),
            "scheme": self.backend.url.scheme,
            "namespace": self.backend.namespace,
            "backend": type(self.backend).__name__,
            "connected": self._is_connected,
        }

    async def inspect(self) -> list[Finding]:
        """Tell what the store really promises as it is set up now."""
        return list(await self.backend.inspect())

    def on(self, event: str, listener: Listener) -> Listener:
        """Call `listener` for each event of that name, or for all with `"*"`.

        The listener is a plain function or a coroutine function; it may be called for what happens
        in any process. An event that happens after an awaited call of this service which follows
        `on` is not missed, nor one of a worker of it that begins afterwards; an add `within` a
        transaction is no such call.
        """
        self._announcer.on(event, listener)
        return listener

    def off(self, event: str, listener: Listener) -> None:
        """Stop calling a listener."""
        self._announcer.off(event, listener)

    async def ready(self) -> None:
        """Wait until what was begun without waiting is done: queues known, listeners listening."""
        await self._usable()

    async def _usable(self) -> None:
        """Wait until this service may be used: every call begins here."""
        if not self._is_open:
            if self._opens_itself:
                await self.open()
            self._check_open()
        if self._undeclared:
            for name in sorted(self._undeclared):
                await self.backend.control(name, Declare())
                self._undeclared.discard(name)
        if self._announcer.is_starting:
            await self._announcer.ready()

    def _check_open(self) -> None:
        if not self._is_open:
            msg = (
                "the service is not open: use it within `async with service:`, or await "
                "service.open() first"
            )
            raise BackendClosed(msg)

    def __repr__(self) -> str:
        """Show the address, without its secrets."""
        state = "open" if self._is_open else "closed"
        return f"<{type(self).__name__} {self.backend.url} {self.backend.namespace!r} {state}>"


def _backend(store: str | Backend | None, namespace: str | None, clock: Clock | None) -> Backend:
    # Who only imports jobyard pays for no look at what is installed: a quarter of its time.
    from jobyard.plugins import check_contract, open_backend  # noqa: PLC0415

    if isinstance(store, Backend):
        if namespace is not None or clock is not None:
            msg = "a backend brings its own namespace and clock: give them to it"
            raise ConfigError(msg)
        check_contract(type(store))
        return store
    url = store if store is not None else os.environ.get(URL_VARIABLE)
    if not url:
        msg = (
            f"which store? Pass a URL, such as QueueService('sqlite:///jobs.db'), or set "
            f"{URL_VARIABLE}"
        )
        raise ConfigError(msg)
    return open_backend(url, namespace=namespace, clock=clock)
