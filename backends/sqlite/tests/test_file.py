"""The file: its place, its rights, and what it says when something is wrong with it."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest
from backends.sqlite.tests.handles import at, spec, want

from jobyard import QueueService
from jobyard.errors import (
    BackendUnavailable,
    ConfigError,
    InvalidUrl,
    StorageNotPrepared,
    StorageTooNew,
    StoreCorrupt,
    Unsupported,
    WeakStorage,
)
from jobyard.url import BackendUrl
from jobyard_sqlite.backend import SqliteBackend
from jobyard_sqlite.inspect import has_reset_bug


def make(path: Path, content: bytes, mode: int = 0o600) -> None:
    path.write_bytes(content)
    path.chmod(mode)


def content(path: Path) -> bytes:
    return path.read_bytes()


def link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_a_file_that_we_make_is_its_owners_alone(backend: SqliteBackend, path: Path) -> None:
    await backend.add([(spec(),)])
    files = sorted(path.parent.glob("jobs.db*"))
    assert [file.name for file in files] == ["jobs.db", "jobs.db-shm", "jobs.db-wal"]
    assert {rights(file) for file in files} == {0o600}


async def test_the_rights_of_a_file_that_is_there_stay(path: Path) -> None:
    make(path, b"", 0o640)
    backend = at(path)
    await backend.open()
    await backend.prepare()
    assert rights(path) == 0o640
    assert any(f.subject == "rights" and f.severity == "advice" for f in await backend.inspect())
    await backend.close()


async def test_a_relative_path_is_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    backend = SqliteBackend(BackendUrl.parse("sqlite:///here.db"))
    await backend.open()
    await backend.prepare()
    await backend.close()
    assert (tmp_path / "here.db").exists()


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    backend = at(tmp_path / "missing" / "jobs.db")
    with pytest.raises(BackendUnavailable, match=r"folder .*missing of the database does not"):
        await backend.open()
    await backend.close()


async def test_a_folder_is_no_database(tmp_path: Path) -> None:
    backend = at(tmp_path)
    with pytest.raises(BackendUnavailable, match="cannot be opened"):
        await backend.open()


async def test_a_file_that_is_no_database_is_corrupt(path: Path) -> None:
    make(path, b"These are the words of another program." * 200)
    backend = at(path)
    with pytest.raises(StoreCorrupt, match="not an SQLite database"):
        await backend.open()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://localhost/jobs.db",
        "sqlite://jobs.db",
        "sqlite://user:secret@/jobs.db",
        "sqlite:///",
        "sqlite:///jobs.db?durability=some",
        "sqlite:///jobs.db?busy_timeout=-1",
        "sqlite:///jobs.db?unknown=1",
    ],
)
def test_a_url_that_cannot_be_meant_is_refused(url: str) -> None:
    with pytest.raises(InvalidUrl) as raised:
        SqliteBackend(BackendUrl.parse(url))
    assert "secret" not in str(raised.value)


@pytest.mark.case("B10")
def test_a_namespace_that_cannot_name_tables_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot name tables"):
        at("jobs.db", namespace="No")


async def test_a_database_in_memory_works() -> None:
    backend = SqliteBackend(BackendUrl.parse("sqlite:///:memory:"))
    await backend.open()
    await backend.prepare()
    await backend.add([(spec("a"),)])
    assert [lease.job_id for lease in (await backend.claim(want())).leases] == ["a"]
    assert (await backend.get(["a"]))[0] is not None
    assert any("memory" in finding.text for finding in await backend.inspect())
    await backend.close()


async def test_without_tables_the_store_is_not_prepared(path: Path) -> None:
    backend = at(path)
    await backend.open()
    with pytest.raises(StorageNotPrepared):
        await backend.add([(spec(),)])
    with pytest.raises(StorageNotPrepared):
        await backend.get(["a"])
    await backend.close()


async def test_a_file_that_is_only_looked_at_is_not_made(path: Path) -> None:
    backend = at(path)
    await backend.open()
    assert not await backend.is_prepared()
    for look in (backend.get(["a"]), backend.queues(), backend.ping(), backend.inspect()):
        with pytest.raises(StorageNotPrepared, match="no database at"):
            await look
    with pytest.raises(StorageNotPrepared):
        await backend.add([(spec(),)])
    await backend.close()
    with pytest.raises(StorageNotPrepared, match="is not prepared"):
        await QueueService(f"sqlite:///{path}", migrate="check").open()
    assert list(path.parent.iterdir()) == []


async def test_a_handle_sees_a_file_that_another_makes(path: Path) -> None:
    early, late = at(path), at(path)
    await early.open()
    await late.open()
    await late.prepare()
    assert await early.is_prepared()
    await early.add([(spec("a"),)])
    assert (await late.get(["a"]))[0] is not None
    await early.close()
    await late.close()


async def test_a_database_of_another_program_is_not_changed_by_a_look(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    before = content(path)
    backend = at(path)
    await backend.open()
    assert not await backend.is_prepared()
    assert content(path) == before
    await backend.prepare()
    findings = {finding.subject: finding.text for finding in await backend.inspect()}
    assert findings["journal"] == "journal_mode is wal"
    await backend.close()


async def test_a_link_to_nowhere_is_made_good(path: Path) -> None:
    link(path, path.with_name("real.db"))
    backend = at(path)
    await backend.open()
    await backend.prepare()
    await backend.add([(spec("a"),)])
    await backend.close()
    assert rights(path.with_name("real.db")) == 0o600


async def test_k143_statements_are_logged_when_that_was_enabled_at_open(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    quiet, telling = at(path), at(path)
    await quiet.open()
    await quiet.prepare()
    with caplog.at_level("DEBUG", "jobyard.sqlite.sql"):
        await quiet.add([(spec("quiet", payload=b"secret"),)])
        assert caplog.records == []
        await telling.open()
        await telling.add([(spec("secret-one", payload=b"secret"),)])
        await telling.add([(spec("secret-two", payload=b"secret"), spec("secret-three"))])
        await telling.get(["secret-one"])
    texts = [record.getMessage() for record in caplog.records]
    assert "BEGIN IMMEDIATE" in texts
    assert "COMMIT" in texts
    assert sum(text.startswith("INSERT INTO jobyard_job ") for text in texts) == 2
    assert any(text.startswith("SELECT jobyard_job.no") for text in texts)
    assert "secret" not in caplog.text
    await quiet.close()
    await telling.close()


async def test_a_newer_namespace_is_refused(backend: SqliteBackend, path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE jobyard_meta SET value = '99' WHERE name = 'version'")
    connection.commit()
    connection.close()
    with pytest.raises(StorageTooNew, match="version 99"):
        await backend.is_prepared()
    with pytest.raises(StorageTooNew):
        await backend.prepare()


async def test_a_migration_that_is_cut_short_leaves_nothing(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE jobyard_worker (in_the_way TEXT)")
    connection.commit()
    backend = at(path)
    await backend.open()
    with pytest.raises(Exception, match="already exists"):
        await backend.prepare()
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    assert tables == [("jobyard_worker",)]
    connection.execute("DROP TABLE jobyard_worker")
    connection.commit()
    connection.close()
    await backend.prepare()
    assert await backend.is_prepared()
    await backend.close()


@pytest.mark.parametrize(("durability", "level"), [("full", 2), ("fast", 1)])
async def test_durability_is_a_choice(path: Path, durability: str, level: int) -> None:
    backend = at(path, durability=durability)
    await backend.open()
    await backend.prepare()
    (row,) = await backend._opened().alter(
        lambda cursor: cursor.execute("PRAGMA synchronous").fetchall()
    )
    assert row == (level,)
    await backend.close()


@pytest.mark.case("N03")
async def test_b12_a_strict_service_refuses_a_weak_promise(path: Path) -> None:
    with pytest.raises(WeakStorage, match="durability"):
        await QueueService(f"sqlite:///{path}?durability=fast", strict=True).open()
    async with QueueService(f"sqlite:///{path}?durability=fast") as service:
        told = {each.subject: each.severity for each in await service.inspect()}
        assert told["durability"] == "warning"


async def test_b12_a_strict_service_takes_advice_and_opens(path: Path) -> None:
    """The library of the machine may be an old one: that is said, and no promise is weaker."""
    async with QueueService(f"sqlite:///{path}?wakeup=off", strict=True) as service:
        told = {each.subject: each.severity for each in await service.inspect()}
    assert told["wakeup"] == "advice"
    assert "warning" not in told.values()


async def test_what_is_not_there_yet_is_refused_whole(backend: SqliteBackend) -> None:
    with pytest.raises(Unsupported):
        await backend.add([(spec("a"),)], within=object())
    assert await backend.get(["a"]) == (None,)


@pytest.mark.parametrize(
    ("version", "bug"),
    [
        ((3, 40, 1), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
    ],
)
@pytest.mark.case("N28")
def test_versions_with_the_reset_bug_are_known(version: tuple[int, int, int], bug: bool) -> None:
    assert has_reset_bug(version) is bug


async def test_k004_tables_made_by_hand_are_a_working_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    with pytest.raises(Unsupported, match="no schemas"):
        QueueService(url).schema_sql(schema="x")
    connection = sqlite3.connect(tmp_path / "jobs.db")
    connection.executescript(QueueService(url).schema_sql())
    connection.close()
    async with QueueService(url, migrate="check") as service:
        service.handler("q", "n")(lambda job: job.data)
        await service.add_job("q", "n", 7)
        assert await service.run_until_idle() == 1
    with pytest.raises(Unsupported, match="no SQL"):
        QueueService("memory://").schema_sql()
