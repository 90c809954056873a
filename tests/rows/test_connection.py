"""K-012: whether the store answers, and where it is, with no password in sight."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from jobyard import BackendError, QueueService
from jobyard_postgres.throwaway import FAST, Server
from jobyard_redis.throwaway import ThrowawayServer


class Stoppable(NamedTuple):
    """A store of a test's own that can be taken away and given back."""

    url: str
    stop: Callable[[], None]
    start: Callable[[], None]


@contextmanager
def a_postgres(folder: Path) -> Iterator[Stoppable]:
    with Server(settings=FAST) as server:
        yield Stoppable(server.create_database("k012"), server.stop, server.start)


@contextmanager
def a_redis(folder: Path) -> Iterator[Stoppable]:
    with ThrowawayServer() as server:
        yield Stoppable(server.url, server.stop, lambda: (server.start(), None)[1])


@pytest.fixture(params=[a_postgres, a_redis])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stoppable]:
    with request.param(tmp_path) as server:
        yield server


def is_connected(service: QueueService) -> bool:
    """Look anew each time: a type checker takes an attribute to stay what it was."""
    return service.is_connected


async def test_k012_ping_is_false_while_the_server_is_stopped(server: Stoppable) -> None:
    service = QueueService(server.url)
    assert not is_connected(service)
    async with service:
        assert is_connected(service)
        assert await service.ping()
        server.stop()
        assert not await service.ping()
        assert not is_connected(service)
        with pytest.raises(BackendError) as caught:
            await service.add_job("q", "n")
        assert caught.value.transient
        server.start()
        assert await service.ping()
        assert is_connected(service)
        await service.add_job("q", "n")
    assert not is_connected(service)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:s3cret@127.0.0.1:1/jobs?listen_url=postgresql://u:s3cret@127.0.0.1:2/j",
        "redis://user:s3cret@127.0.0.1:1/0",
        "sqlite:///jobs.db",
    ],
)
def test_k012_where_a_service_is_connected_shows_no_password(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    service = QueueService(url, namespace="yard")
    info = service.connection_info()
    assert (info["namespace"], info["connected"]) == ("yard", False)
    assert info["scheme"] == url.partition(":")[0]
    assert "s3cret" not in f"{info}{service!r}{service.backend!r}"
    assert list(tmp_path.iterdir()) == []
