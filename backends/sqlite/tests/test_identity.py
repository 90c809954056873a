"""Files that are deleted or replaced while the database is open (N30, N32)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from backends.sqlite.tests.handles import at

from jobyard import QueueService
from jobyard.errors import BackendUnavailable, StoreCorrupt


@pytest.mark.parametrize("end", ["-wal", "-shm", ""])
@pytest.mark.case("N30", "N32", on=("sqlite",))
async def test_a_deleted_file_is_told_before_anything_is_lost(tmp_path: Path, end: str) -> None:
    path = tmp_path / "jobs.db"
    async with QueueService(f"sqlite:///{path}") as service:
        await service.add_job("q", "n")
        path.with_name(f"jobs.db{end}").unlink()
        for _ in range(2):
            with pytest.raises(StoreCorrupt, match=f"jobs.db{end} was deleted") as caught:
                await service.add_job("q", "n")
            assert not caught.value.transient


@pytest.mark.parametrize("end", ["-wal", ""])
@pytest.mark.case("N30", "N32", on=("sqlite",))
async def test_a_replaced_file_is_told_before_anything_is_lost(tmp_path: Path, end: str) -> None:
    path = tmp_path / "jobs.db"
    async with QueueService(f"sqlite:///{path}") as service:
        await service.add_job("q", "n")
        copy = tmp_path / "copy"
        shutil.copy(f"{path}{end}", copy)
        copy.replace(f"{path}{end}")
        with pytest.raises(StoreCorrupt, match=f"jobs.db{end} was replaced"):
            await service.add_job("q", "n")


@pytest.mark.case("N32", on=("sqlite",))
async def test_a_process_that_is_started_anew_works_on_the_copy(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    service = QueueService(f"sqlite:///{path}")
    async with service:
        kept = await service.add_job("q", "n")
    shutil.copy(path, tmp_path / "copy")
    async with service:
        (tmp_path / "copy").replace(path)
        with pytest.raises(StoreCorrupt):
            await service.add_job("q", "n")
    async with service:
        later = await service.add_job("q", "n")
        assert [job.id for job in await service.list_jobs("q")] == [kept.id, later.id]


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
async def test_a_path_that_is_a_symbolic_link_is_followed_or_refused(
    tmp_path: Path, end: str
) -> None:
    real, path = tmp_path / "real.db", tmp_path / "jobs.db"
    async with QueueService(f"sqlite:///{real}") as service:
        await service.add_job("q", "n")
    if end:
        shutil.copy(real, path)
        path.with_name(f"jobs.db{end}").symlink_to(tmp_path / "elsewhere")
    else:
        path.symlink_to(real)
        async with QueueService(f"sqlite:///{path}") as service:
            assert len(await service.list_jobs("q")) == 1
    with pytest.raises(BackendUnavailable, match=f"jobs.db{end} is a symbolic link") as caught:
        await QueueService(f"sqlite:///{path}?symlinks=refuse").open()
    assert not caught.value.transient
    assert not (tmp_path / "elsewhere").exists()


async def test_a_symbolic_link_that_comes_in_the_place_of_the_file_is_told(tmp_path: Path) -> None:
    path, moved = tmp_path / "jobs.db", tmp_path / "moved.db"
    async with QueueService(f"sqlite:///{path}?symlinks=refuse") as service:
        await service.add_job("q", "n")
        path.rename(moved)
        path.symlink_to(moved)
        with pytest.raises(StoreCorrupt, match="was replaced"):
            await service.add_job("q", "n")


async def test_a_process_that_changes_its_folder_works_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with QueueService("sqlite:///jobs.db") as service:
        first = await service.add_job("q", "n")
        monkeypatch.chdir(elsewhere)
        second = await service.add_job("q", "n")
        assert [job.id for job in await service.list_jobs("q")] == [first.id, second.id]
    assert list(elsewhere.iterdir()) == []


async def test_many_handles_and_their_ends_are_no_replacement(tmp_path: Path) -> None:
    first, second = (at(tmp_path / "jobs.db") for _ in range(2))
    await first.open()
    await first.prepare()
    for _ in range(3):
        await second.open()
        await second.prepare()
        await second.close()
        await first.prepare()
        assert (await first.ping()).now
    await first.close()
