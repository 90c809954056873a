"""Servers to throw away, which tests stop and start beside others that look for ports."""

from __future__ import annotations

import socket
import sys

import pytest

from jobyard_redis.throwaway import ThrowawayServer


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no port can be kept")
def test_the_port_of_a_server_that_is_stopped_is_given_to_nobody() -> None:
    with ThrowawayServer(persistent=False) as server:
        for end in (server.stop, server.kill):
            end()
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", server.port))
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", server.port))
            server.start()
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(b"PING\r\n")
                assert connection.recv(16) == b"+PONG\r\n"
