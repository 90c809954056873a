"""A certificate of one's own, and a way to a server that begins in TLS."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

CHUNK: Final = 65_536
WANTS_TLS: Final = (80877103).to_bytes(4, "big")


class Certificate(NamedTuple):
    """A certificate for a host, which is its own authority, and its key."""

    chain: Path
    key: Path


def certify(folder: Path, host: str) -> Certificate:
    """Make one, where there is an openssl; the test is skipped elsewhere."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("there is no openssl to make a certificate with")
    made = Certificate(folder / f"{host}.pem", folder / f"{host}.key")
    for_host = ("-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-days", "2")
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    files = ("-keyout", str(made.key), "-out", str(made.chain))
    done = subprocess.run(
        [program, "req", "-x509", *kind, *for_host, *files],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"openssl makes no certificate here: {done.stderr.strip()[-500:]}")
    return made


@asynccontextmanager
async def in_tls(
    server: str | tuple[str, int], certificate: Certificate, *, asked: bool
) -> AsyncIterator[int]:
    """Open a way to a server, and tell its port.

    With `asked`, TLS begins when the client asks for it, as PostgreSQL's do.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.chain, certificate.key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if asked:
                await _begin(reader, writer, context)
            await _carry(reader, writer)
        writer.transport.abort()

    async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connecting = (
            asyncio.open_unix_connection(server)
            if isinstance(server, str)
            else asyncio.open_connection(*server)
        )
        answers, upstream = await connecting
        await asyncio.gather(_forward(reader, upstream), _forward(answers, writer))

    listening = await asyncio.start_server(
        serve, "localhost", 0, ssl=None if asked else context, family=socket.AF_INET
    )
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()


async def _begin(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext
) -> None:
    while (await reader.readexactly(8))[4:] != WANTS_TLS:
        writer.write(b"N")
    writer.write(b"S")
    await writer.drain()
    await writer.start_tls(context)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while content := await reader.read(CHUNK):
            writer.write(content)
            await writer.drain()
    writer.transport.abort()
