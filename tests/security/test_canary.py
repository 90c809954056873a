"""No secret leaves: not through errors, logs, reprs, tracebacks, events, findings, commands."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

import msgspec
import pytest
from redis import Redis
from tests.patience import PATIENCE
from tests.security.leaks import CANARY, texts_of

from jobyard import FlowJob, Job, JobState, QueueService
from jobyard.errors import BackendError, JobyardError, PayloadError
from jobyard.failure import describe
from jobyard.plugins import open_backend
from jobyard.url import BackendUrl
from jobyard.worker.journal import on_one_line
from jobyard_redis.throwaway import ThrowawayServer

NOWHERE = "127.0.0.1:1"

BROKEN = [
    f"redis://ann:pa/{CANARY}@host",
    f"redis://ann:{CANARY}@host:port",
    f"redis://ann:{CANARY}@[::1",
    f"redis://ann:{CANARY}@host:99999",
    f"redis://ann:{CANARY}@host#{CANARY}",
    f"redis://ann:{CANARY}@host?{CANARY}",
    f"redis://ann:{CANARY}@host?a={CANARY}&a={CANARY}",
    f"ann:{CANARY}@host/database",
    f"nothing://ann:{CANARY}@host",
    f"sqlite://ann:{CANARY}@host/jobs.db",
    f"sqlite:///jobs.db?durability={CANARY}",
    f"sqlite:///jobs.db?password={CANARY}",
    f"sqlite:///jobs.db?busy_timeout={CANARY}",
    f"redis://ann:{CANARY}@host/{CANARY}",
    f"redis://ann:{CANARY}@host?timeout={CANARY}",
    f"redis://ann:{CANARY}@host?password={CANARY}",
    f"redis://ann:{CANARY}@host?verify=false",
    f"rediss://ann:{CANARY}@host?verify={CANARY}",
    f"unix://ann:{CANARY}@host/redis.sock",
    f"postgresql://ann:{CANARY}@host",
    f"postgresql://ann:{CANARY}@host/a/b",
    f"postgresql://ann:{CANARY}@host/db?password={CANARY}",
    f"postgresql://ann:{CANARY}@host/db?sslmode={CANARY}",
    f"postgresql://ann:{CANARY}@host/db?pool_size={CANARY}",
    f"postgresql://ann:{CANARY}%00@host/db",
    f"postgresql://ann:x@host/db?listen_url=postgresql://ann:{CANARY}@host",
    f"postgresql://ann:x@host/db?listen_url=redis://ann:{CANARY}@host",
    f"memory://ann:{CANARY}@host?{CANARY}={CANARY}",
]
"""URLs that are refused, each with a secret where it may be quoted."""

UNREACHABLE = [
    f"redis://ann:{CANARY}@{NOWHERE}/0",
    f"rediss://ann:{CANARY}@{NOWHERE}/0",
    f"unix://ann:{CANARY}@/nowhere/redis.sock",
    f"postgresql://ann:{CANARY}@{NOWHERE}/db",
    f"postgresql://ann:{CANARY}@{NOWHERE}/db?sslmode=verify-full&sslrootcert=/nowhere",
    f"postgresql://ann@{NOWHERE}/db?listen_url=postgresql://ann:{CANARY}@{NOWHERE}/db",
]


def assert_silent(*texts: str) -> None:
    for text in texts:
        assert CANARY not in text, text


@pytest.fixture
def listening(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Hear every logger, whatever its level, asyncio's in debug mode among them."""
    caplog.set_level(logging.DEBUG)
    yield caplog
    for record in caplog.records:
        assert_silent(record.getMessage(), repr(vars(record).get("error")))
        if record.exc_info and record.exc_info[1] is not None:
            assert_silent(*texts_of(record.exc_info[1]))
    assert_silent(caplog.text)


@pytest.mark.case("B30")
@pytest.mark.parametrize("url", BROKEN, ids=range(len(BROKEN)))
async def test_a_url_that_is_refused_is_not_quoted(url: str, listening: object) -> None:
    # What a username or an unknown option is called is shown on purpose: it is to be mended.
    with pytest.raises(JobyardError) as raised:
        service = QueueService(url.replace(f"?{CANARY}=", "?unknown="))
        assert_silent(repr(service), str(service.backend.url))
        async with service:
            pass
    assert_silent(*texts_of(raised.value))


@pytest.mark.case("B30")
@pytest.mark.parametrize("url", UNREACHABLE)
async def test_a_store_out_of_reach_is_named_without_its_password(
    url: str, listening: object
) -> None:
    service = QueueService(url)
    assert_silent(repr(service), repr(service.backend.url), repr(service.connection_info()))
    with pytest.raises(BackendError) as raised:
        async with service:
            await service.add_job("q", "n")
    assert_silent(*texts_of(raised.value))


@pytest.mark.case("N14", "B30")
@pytest.mark.parametrize("secured", [False, True], ids=["no-password", "another-password"])
async def test_a_password_that_redis_refuses_is_not_quoted(
    valkey: ThrowawayServer, listening: object, *, secured: bool
) -> None:
    with Redis.from_url(valkey.url) as client:
        if secured:
            client.acl_setuser("ann", enabled=True, passwords=["+another"], keys=["*"])
        try:
            user = "ann" if secured else "nobody"
            address = valkey.url.replace("redis://", f"redis://{user}:{CANARY}@")
            with pytest.raises(BackendError) as raised:
                async with QueueService(address) as service:
                    await service.add_job("q", "n")
        finally:
            client.acl_deluser("ann")
    assert not raised.value.transient
    assert_silent(*texts_of(raised.value))


@pytest.mark.case("N14", "B30")
async def test_a_user_that_postgresql_refuses_is_told_without_the_password(
    database: str, listening: object
) -> None:
    address = f"{with_login(database, 'nobody')}&schema=canary"
    with pytest.raises(BackendError) as raised:
        async with QueueService(address) as service:
            await service.add_job("q", "n")
    assert not raised.value.transient
    assert_silent(*texts_of(raised.value))


def with_login(url: str, user: str | None = None) -> str:
    """Give the URL of a server with a password in it, which a server that trusts does not ask."""
    parsed = BackendUrl.parse(url)
    host = "" if parsed.host is None else parsed.host
    port = "" if parsed.port is None else f":{parsed.port}"
    options = "&".join(f"{name}={value}" for name, value in parsed.options.items()) or "timeout=60"
    login = f"{user or parsed.username or ''}:{CANARY}"
    return f"{parsed.scheme}://{login}@{host}{port}{parsed.path}?{options}"


@pytest.fixture
def secret_url(url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the store's URL with a password in it, where the store takes any."""
    if url.startswith("redis"):
        with Redis.from_url(url.partition("?")[0]) as client:
            client.acl_setuser(
                "ann", enabled=True, passwords=[f"+{CANARY}"], keys=["*"], channels=["*"],
                categories=["+@all"],
            )  # fmt: skip
            yield with_login(url, "ann").removesuffix("?timeout=60")
            client.acl_deluser("ann")
    elif url.startswith("postgres"):
        yield with_login(url)
    else:
        yield url


class Kind(Enum):
    PLAIN = "plain"


class Order(msgspec.Struct):
    kind: Kind


def dsn() -> str:
    return f"postgresql://ann:{CANARY}@db/orders"


def set_up(service: QueueService, shown: list[str]) -> None:
    """Register handlers that end in each way, one of which shows what it is given."""
    service.on("*", lambda event: shown.append(repr(event)))

    @service.handler("q", "returns")
    async def returns(job: Job) -> str:
        shown.append(repr(job))
        return str(job.data)

    @service.handler("q", "fails")
    async def fails(job: Job) -> None:
        raise RuntimeError("could not connect") from ConnectionError(f"no route to {dsn()}")

    @service.handler("q", "thread")
    def thread(job: Job) -> None:
        raise ValueError(f"{dsn()}?password={CANARY} cannot be read")

    @service.handler("q", "odd")
    async def odd(job: Job) -> set[str]:
        return {str(job.data)}

    @service.job("q", "typed")
    async def typed(order: Order) -> None: ...

    shown.append(repr(typed))


async def add_all(service: QueueService, url: str) -> list[str]:
    names = ("returns", "fails", "thread", "odd")
    jobs = [await service.add_job("q", name, CANARY, attempts=2, backoff=0) for name in names]
    async with QueueService(url) as other:  # whose type of payload is of another version
        jobs.append(await other.add_job("q", "typed", {"kind": CANARY}))
    return [job.id for job in jobs]


@pytest.mark.case("B30")
async def test_a_service_at_work_shows_nothing_that_is_secret(
    secret_url: str, listening: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """The URL's password, payloads, results and what drivers quote in the errors of handlers."""
    asyncio.get_running_loop().set_debug(True)
    service = QueueService(secret_url)
    shown: list[str] = []
    set_up(service, shown)
    async with service:
        ids = await add_all(service, secret_url)
        with pytest.raises(PayloadError) as refused:
            await service.add_job("q", "returns", {CANARY, 1})
        shown.extend(texts_of(refused.value))
        await service.run_until_idle()
        ended = [await service.get_job(each) for each in ids]
        assert [job.state for job in ended] == [JobState.COMPLETED] + [JobState.FAILED] * 4
        for job in ended[1:]:
            with pytest.raises(JobyardError) as raised:
                await job.wait(timeout=PATIENCE)
            shown += [repr(job), repr(job.error), str(job.error), *texts_of(raised.value)]
        shown += map(repr, [service, service.queue("q"), FlowJob("q", "n", CANARY), ended[0]])
        shown += map(repr, await service.inspect())
        shown += map(repr, await service.list_workers())
        shown += [repr(await service.get_stats("q")), repr(await service.health())]
        shown += [repr(service.connection_info()), repr(service.backend.url)]
        shown += [repr(task) for task in asyncio.all_tasks()]
    assert ended[0].result == CANARY, "the payload itself comes back whole"
    assert "postgresql://ann:***@db/orders" in str(ended[2].error)
    assert_silent(*shown, *(str(each.message) for each in recwarn))


@pytest.mark.case("B30")
def test_the_command_line_shows_no_secret(secret_url: str, tmp_path: Path) -> None:
    if secret_url.startswith("memory"):
        return  # another process has none of it
    asyncio.run(prepare(secret_url))
    (tmp_path / "app.py").write_text(
        "import os\nfrom jobyard import QueueService\nservice = QueueService()\n"
        f"@service.handler('q', 'n')\nasync def n(job):\n    raise OSError('{dsn()}')\n"
    )
    bad = secret_url.replace("127.0.0.1", "127.0.0.2") + "&unknown=1"
    for words, url in (
        (("doctor", "--json"), secret_url),
        (("--debug", "doctor"), bad),
        (("--debug", "doctor", secret_url, "--unknown"), secret_url),
        (("stats", secret_url), secret_url),
    ):
        ended = subprocess.run(
            [sys.executable, "-m", "jobyard", *words],
            cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False,
            env={**os.environ, "JOBYARD_URL": url, "PYTHONWARNINGS": "default"},
        )  # fmt: skip
        assert_silent(ended.stdout, ended.stderr)
        assert ended.stdout + ended.stderr


async def prepare(url: str) -> None:
    async with QueueService(url) as service:
        await service.add_job("q", "n", CANARY)


@pytest.mark.parametrize("wrap", ["describe", "log"])
def test_a_secret_is_masked_wherever_a_text_is_cut(wrap: str) -> None:
    """Half a URL is no URL: it is masked before it is cut."""
    show: Callable[[str], str] = (
        on_one_line
        if wrap == "log"
        else lambda text: str(describe(ValueError(text), stack_limit=5))
    )
    for before in range(0, 5_000, 7):
        assert_silent(show("x" * before + dsn() + "y" * 5_000))


async def test_nothing_warns_of_an_open_store_with_its_password(url: str) -> None:
    """A handle that is forgotten is warned of by its driver: by its address, if at all."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        backend = open_backend(url)
        await backend.open()
        await backend.close()
        del backend
    assert_silent(*(str(each.message) for each in told))
