import hashlib
import os
from pathlib import Path

import pytest

from jobyard.demo.reading import Counting, Outcome, Reading, read_entry
from jobyard.demo.tree import Entry, take_snapshot


def entry_of(root: Path, content: bytes) -> Entry:
    (root / "file").write_bytes(content)
    (entry,) = take_snapshot(root, limit=1).entries
    return entry


def test_a_file_is_counted_as_wc_does(tmp_path: Path) -> None:
    content = b"one two\n  three\nfour"

    assert read_entry(tmp_path, entry_of(tmp_path, content)) == Reading(
        path="file",
        sha256=hashlib.sha256(content).hexdigest(),
        lines=2,
        words=4,
        bytes=20,
    )


def test_an_empty_file_has_nothing_but_a_checksum(tmp_path: Path) -> None:
    found = read_entry(tmp_path, entry_of(tmp_path, b""))

    assert (found.outcome, found.lines, found.words, found.bytes) == (Outcome.READ, 0, 0, 0)
    assert found.sha256 == hashlib.sha256(b"").hexdigest()


def test_any_bytes_can_be_counted(tmp_path: Path) -> None:
    found = read_entry(tmp_path, entry_of(tmp_path, bytes(range(256))))

    assert (found.lines, found.words, found.bytes) == (1, 3, 256)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_the_size_of_the_chunks_does_not_matter(size: int) -> None:
    content = b" ab c\n\ndef  g\t\nhi"
    counting = Counting()
    for start in range(0, len(content), size):
        counting.add(content[start : start + size])

    assert (counting.lines, counting.words, counting.bytes) == (3, 5, len(content))


def test_a_file_that_is_gone_has_vanished(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, b"x")
    (tmp_path / "file").unlink()

    assert read_entry(tmp_path, entry) == Reading(path="file", outcome=Outcome.VANISHED)


def test_a_file_whose_folder_became_a_file_has_vanished(tmp_path: Path) -> None:
    (tmp_path / "sub").touch()

    found = read_entry(tmp_path, Entry(path="sub/file", size=0, mtime_ns=0))

    assert found.outcome is Outcome.VANISHED


def test_a_file_of_another_size_has_changed(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, b"x")
    (tmp_path / "file").write_bytes(b"xy")

    assert read_entry(tmp_path, entry) == Reading(path="file", outcome=Outcome.CHANGED)


def test_a_file_of_another_time_has_changed(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, b"x")
    os.utime(tmp_path / "file", ns=(0, 0))

    assert read_entry(tmp_path, entry).outcome is Outcome.CHANGED


def test_a_file_that_grows_while_it_is_read_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = entry_of(tmp_path, b"x" * 100)
    count = Counting.add

    def add(self: Counting, chunk: bytes) -> None:
        with (tmp_path / "file").open("ab") as file:
            file.write(b"y" * (100 if self.bytes == 0 else 0))
        count(self, chunk)

    monkeypatch.setattr(Counting, "add", add)

    assert read_entry(tmp_path, entry).outcome is Outcome.CHANGED


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="needs O_NOFOLLOW")
def test_a_link_that_took_a_files_place_is_not_followed(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, b"x")
    (tmp_path / "other").write_bytes(b"x")
    (tmp_path / "file").unlink()
    (tmp_path / "file").symlink_to("other")

    assert read_entry(tmp_path, entry).outcome is Outcome.UNREADABLE


def test_a_pipe_that_took_a_files_place_is_not_waited_for(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, b"x")
    (tmp_path / "file").unlink()
    os.mkfifo(tmp_path / "file")

    assert read_entry(tmp_path, entry).outcome is Outcome.CHANGED


def test_a_file_that_may_not_be_opened_is_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = entry_of(tmp_path, b"x")

    def refuse(path: Path, flags: int) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)

    assert read_entry(tmp_path, entry) == Reading(
        path="file", outcome=Outcome.UNREADABLE, why="Permission denied"
    )


def test_a_disk_that_fails_makes_the_file_unreadable_and_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = entry_of(tmp_path, b"x")
    closed = []
    close = os.close

    def fail(handle: int, size: int) -> bytes:
        raise OSError(5, "Input/output error")

    def note(handle: int) -> None:
        closed.append(handle)
        close(handle)

    monkeypatch.setattr("os.read", fail)
    monkeypatch.setattr("os.close", note)
    found = read_entry(tmp_path, entry)
    monkeypatch.undo()

    assert (found.outcome, found.why) == (Outcome.UNREADABLE, "Input/output error")
    assert len(closed) == 1
