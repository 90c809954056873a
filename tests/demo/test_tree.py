import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobyard.demo.tree import native, portable, take_snapshot
from jobyard.errors import ConfigError

MANY = 1_000


def paths_of(root: Path, *, limit: int = MANY) -> list[str]:
    return [entry.path for entry in take_snapshot(root, limit=limit).entries]


@pytest.mark.parametrize(
    "name",
    [
        "plain.txt",
        "a b",
        "50%",
        "%41",
        "new\nline",
        "\x1b[31mred",
        "日本",
        "caf\udce9",
        "[bold]",
        "~",
    ],
)
def test_a_portable_path_is_printable_ascii_and_comes_back(name: str) -> None:
    path = f"folder{os.sep}{name}"

    assert portable(path).isascii()
    assert portable(path).isprintable()
    assert native(portable(path)) == path


def test_a_snapshot_lists_the_files_by_path(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_bytes(b"12")
    (tmp_path / "a").write_bytes(b"1")

    snapshot = take_snapshot(tmp_path, limit=MANY)

    assert [(entry.path, entry.size) for entry in snapshot.entries] == [("a", 1), ("sub/b", 2)]
    assert snapshot.entries[0].mtime_ns == (tmp_path / "a").stat().st_mtime_ns
    assert snapshot.size == 3


def test_an_empty_folder_has_no_files(tmp_path: Path) -> None:
    snapshot = take_snapshot(tmp_path, limit=MANY)

    assert (snapshot.entries, snapshot.is_cut) == ([], False)


def test_some_folders_are_left_out_by_name(tmp_path: Path) -> None:
    for name in (".git", "node_modules", "kept"):
        (tmp_path / "deep" / name).mkdir(parents=True)
        (tmp_path / "deep" / name / "file").touch()
    (tmp_path / ".venv").touch()

    snapshot = take_snapshot(tmp_path, limit=MANY)

    assert [entry.path for entry in snapshot.entries] == [".venv", "deep/kept/file"]
    assert snapshot.folders == ["deep/.git", "deep/node_modules"]


def test_the_folder_that_was_asked_for_is_never_left_out(tmp_path: Path) -> None:
    root = tmp_path / ".git"
    root.mkdir()
    (root / "config").touch()

    assert paths_of(root) == ["config"]


def test_links_are_counted_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "broken").symlink_to("nowhere")

    snapshot = take_snapshot(tmp_path, limit=MANY)

    assert [entry.path for entry in snapshot.entries] == ["file"]
    assert snapshot.links == 3


@pytest.fixture
def sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Bound by a relative name: the address of a socket has little room.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        yield


def test_what_is_no_regular_file_is_counted(tmp_path: Path, sockets: None) -> None:
    os.mkfifo(tmp_path / "pipe")

    snapshot = take_snapshot(tmp_path, limit=MANY)

    assert (snapshot.entries, snapshot.others) == ([], 2)


def test_a_name_that_is_no_utf_8_is_listed(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).write_bytes(b"x")

    assert paths_of(tmp_path) == ["caf%E9"]


def test_the_limit_cuts_and_says_so(tmp_path: Path) -> None:
    for name in ("c", "a", "b"):
        (tmp_path / name).touch()

    cut = take_snapshot(tmp_path, limit=2)
    whole = take_snapshot(tmp_path, limit=3)

    assert ([entry.path for entry in cut.entries], cut.is_cut) == (["a", "b"], True)
    assert (len(whole.entries), whole.is_cut) == (3, False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every folder")
def test_a_closed_folder_is_told(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)

    snapshot = take_snapshot(tmp_path, limit=MANY)
    closed.chmod(0o700)

    assert snapshot.closed == ["closed: Permission denied"]


def test_a_folder_that_goes_meanwhile_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    scandir = os.scandir

    def scan(path: Path) -> object:
        if path.name == "gone":
            path.rmdir()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)

    assert take_snapshot(tmp_path, limit=MANY).closed == ["gone: No such file or directory"]


def test_no_folder_is_an_error_that_says_which(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match=r"cannot index .*/none: No such file or directory"):
        take_snapshot(tmp_path / "none", limit=MANY)
    with pytest.raises(ConfigError, match=r"cannot index .*/file: it is not a folder"):
        take_snapshot(tmp_path / "file", limit=MANY)
