"""Opening: tables made by hand, what the server promises, options of the URL."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from tests.faults.handles import until_answered

from jobyard import QueueService
from jobyard.errors import BackendUnavailable, InvalidUrl, StorageNotPrepared, WeakStorage
from jobyard.health import Severity
from jobyard.plugins import open_backend
from jobyard.service.lifetime import Migrate
from jobyard_postgres.backend import PostgresBackend
from jobyard_postgres.store import Store
from jobyard_postgres.throwaway import Server

pytestmark = pytest.mark.anyio


@pytest.fixture
def own(server: Server) -> str:
    """A database of this test's own."""
    return server.create_database()


def run(url: str, text: str) -> None:
    """Do what `psql -f` does."""
    from jobyard.url import BackendUrl
    from jobyard_postgres.place import place_of

    with psycopg.connect(**place_of(BackendUrl.parse(url)).main, autocommit=True) as connection:
        connection.execute(text.encode())


@pytest.mark.parametrize("migrate", ["check", "off"])
async def test_k004_tables_made_by_hand_are_a_working_store(own: str, migrate: Migrate) -> None:
    with pytest.raises(StorageNotPrepared):
        async with QueueService(f"{own}&schema=x", migrate="check"):
            pass
    run(own, QueueService(own).schema_sql(schema="x"))

    async with QueueService(f"{own}&schema=x", migrate=migrate) as service:
        service.handler("q", "n")(lambda job: job.data)
        job = await service.add_job("q", "n", 7)
        assert await service.run_until_idle() == 1
        assert await job.wait(timeout=100) == 7
    async with QueueService(f"{own}&schema=x", migrate="auto") as service:
        assert (await service.get_job(job.id)).result == 7


async def test_the_user_of_the_app_needs_no_right_to_create(own: str) -> None:
    run(own, QueueService(own).schema_sql(schema="x"))
    user = f"u_{secrets.token_hex(4)}"
    run(
        own,
        f"CREATE USER {user}; REVOKE CREATE ON SCHEMA public FROM public;"
        f"GRANT USAGE ON SCHEMA x TO {user}; GRANT ALL ON ALL TABLES IN SCHEMA x TO {user};"
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA x TO {user};"
        f"GRANT ALL ON ALL FUNCTIONS IN SCHEMA x TO {user}",
    )
    url = own.replace("jobyard@", f"{user}@")
    async with QueueService(f"{url}&schema=x", migrate="check") as service:
        service.handler("q", "n")(lambda job: job.data)
        await service.add_job("q", "n", 7)
        assert await service.run_until_idle() == 1


@pytest.mark.parametrize("schema", ["", "A", "pg_x", 'a"b', "a" * 41])
@pytest.mark.case("B10")
def test_a_schema_that_cannot_be_named_is_refused(schema: str) -> None:
    with pytest.raises(InvalidUrl, match="the schema"):
        QueueService("postgresql://h/d").schema_sql(schema=schema)
    with pytest.raises(InvalidUrl, match="the schema"):
        open_backend(f"postgresql://h/d?schema={schema}")


def store_of(service: QueueService) -> Store:
    backend = service.backend
    assert isinstance(backend, PostgresBackend)
    return backend._opened()


async def findings(url: str) -> dict[str, tuple[Severity, str]]:
    async with QueueService(url) as service:
        return {each.subject: (each.severity, each.text) for each in await service.inspect()}


async def test_the_doctor_tells_what_the_server_promises(own: str) -> None:
    found = await findings(own)
    assert found["server"][1].startswith("PostgreSQL ")
    assert found["durability"][0] is Severity.WARNING  # the server of the tests is a fast one
    assert "fsync is off" in found["durability"][1]
    assert found["isolation"] == (Severity.OK, "the database's level is read committed")
    assert found["autovacuum" if "autovacuum" in found else "wakeup"][0] is Severity.OK
    assert "pooler" not in found


@pytest.fixture(scope="module")
def durable() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.mark.parametrize(
    ("setting", "option", "severity", "text"),
    [
        (None, "", Severity.OK, "each commit is on the disk"),
        ("synchronous_commit = off", "", Severity.OK, "each commit is on the disk"),
        ("synchronous_commit = local", "", Severity.OK, "standbys may lag"),
        (None, "&durability=fast", Severity.WARNING, "may lose the last commits"),
    ],
)
@pytest.mark.case("N03")
async def test_the_doctor_tells_how_durable_commits_are(
    durable: Server, setting: str | None, option: str, severity: Severity, text: str
) -> None:
    url = durable.create_database()
    if setting is not None:
        run(url, f'ALTER DATABASE "{url.partition("@/")[2].partition("?")[0]}" SET {setting}')
    found = await findings(url + option)
    assert found["durability"][0] is severity
    assert text in found["durability"][1]
    if severity is Severity.WARNING:
        with pytest.raises(WeakStorage, match="durability"):
            await QueueService(url + option, strict=True).open()


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@pytest.mark.case("N21")
async def test_another_level_of_isolation_changes_nothing_but_the_speed(
    own: str, level: str
) -> None:
    name = own.partition("@/")[2].partition("?")[0]
    run(own, f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = '{level}'")
    async with QueueService(own) as service:
        service.handler("q", "n")(lambda job: job.data)
        await service.add_jobs("q", [("n", n) for n in range(50)])
        assert await service.run_until_idle() == 50
    assert level in (await findings(own))["isolation"][1]


async def test_a_pool_opens_no_more_connections_than_it_may(own: str) -> None:
    import asyncio

    async with QueueService(f"{own}&pool_size=2&application_name=few&listen=off") as service:
        await asyncio.gather(*(service.list_queues() for _ in range(40)))
        store = store_of(service)
        counted = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'few'"
        assert (await store.rows(counted))[0][0] == 2


@pytest.mark.case("N24")
async def test_a_server_that_does_not_answer_is_waited_for_so_long(own: str) -> None:
    async with QueueService(own):
        pass  # a migration may take longer than what is tried here
    service = QueueService(f"{own}&timeout=3")
    await until_answered(service.open)
    try:
        store = store_of(service)
        with pytest.raises(BackendUnavailable, match=r"within 3 s"):
            await store.rows("SELECT pg_sleep(600)")
        await until_answered(service.health)
    finally:
        await service.close()


async def test_listening_has_an_address_of_its_own(own: str) -> None:
    from urllib.parse import quote

    nowhere = "postgresql://jobyard@127.0.0.1:1/nowhere"
    backend = open_backend(f"{own}&listen_url={quote(nowhere, safe='')}")
    await backend.open()
    try:
        await backend.prepare()
        with pytest.raises(BackendUnavailable):
            async with backend.listen(lambda notice: None, queues=["q"]):
                pass
    finally:
        await backend.close()
