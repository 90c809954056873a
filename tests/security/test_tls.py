"""Certificates of servers are checked, unless the URL says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.security.tls import Certificate, certify, in_tls

from jobyard import QueueService
from jobyard.errors import BackendError
from jobyard.url import BackendUrl

CANARY = "c4nary"


class Place(NamedTuple):
    """A server, and how to name it by way of a port, trusting an authority, or nobody's."""

    server: str | tuple[str, int]
    asked: bool
    trusting: Callable[[int, Path], str]
    blind: Callable[[int], str]


def postgres(request: pytest.FixtureRequest) -> Place:
    url = BackendUrl.parse(request.getfixturevalue("database"))

    def at(port: int, options: str) -> str:
        login = f"{url.username}:{CANARY}"
        return f"postgresql://{login}@localhost:{port}{url.path}?schema=tls&{options}"

    return Place(
        f"{url.options['host']}/.s.PGSQL.5432",
        True,
        lambda port, authority: at(port, f"sslmode=verify-full&sslrootcert={authority}"),
        lambda port: at(port, "sslmode=require&listen=off"),
    )


def redis(request: pytest.FixtureRequest) -> Place:
    server = request.getfixturevalue("valkey")
    server.clear()
    port = int(server.url.rpartition(":")[2].partition("/")[0])
    return Place(
        ("127.0.0.1", port),
        False,
        lambda port, authority: f"rediss://localhost:{port}/0?ca_file={authority}",
        lambda port: f"rediss://localhost:{port}/0?verify=false",
    )


@pytest.fixture(params=[postgres, redis], ids=lambda made: made.__name__)
def place(request: pytest.FixtureRequest) -> Place:
    made: Place = request.param(request)
    return made


@pytest.fixture
def ours(tmp_path: Path) -> Certificate:
    return certify(tmp_path, "localhost")


async def works(url: str) -> None:
    async with QueueService(url) as service:
        job = await service.add_job("q", "n", "text")
        assert (await service.get_job(job.id)).data == "text"


async def test_a_certificate_of_a_trusted_authority_for_the_host_is_taken(
    place: Place, ours: Certificate
) -> None:
    async with in_tls(place.server, ours, asked=place.asked) as port:
        await works(place.trusting(port, ours.chain))


@pytest.mark.case("N13", on=("postgres", "redis"))
@pytest.mark.parametrize("host", ["localhost", "elsewhere"])
async def test_a_certificate_of_a_stranger_or_for_another_host_is_refused_unless_asked_otherwise(
    place: Place, ours: Certificate, tmp_path: Path, host: str
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    theirs = certify(folder, host)
    # A stranger's for this host; or one that is trusted, for another host.
    authority = ours.chain if host == "localhost" else theirs.chain
    async with in_tls(place.server, theirs, asked=place.asked) as port:
        with pytest.raises(BackendError) as caught:
            await works(place.trusting(port, authority))
        assert "certificate" in str(caught.value)
        assert not caught.value.transient
        assert CANARY not in str(caught.value)
        await works(place.blind(port))
