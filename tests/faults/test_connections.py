"""Connections that say nothing, or say it slowly, are closed; many are refused."""

import socket
import time
from collections.abc import Iterator
from threading import Thread

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from service import protocol
from service.protocol import Protocol
from tests.service.servers import free_port


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse((await request.body()).decode())


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Serve with deadlines of tenths of a second."""
    monkeypatch.setattr(protocol, "HEADERS_WITHIN_S", 0.3)
    monkeypatch.setattr(protocol, "BODY_WITHIN_S", 0.3)
    monkeypatch.setattr(protocol, "CHECK_EVERY_S", 0.1)
    monkeypatch.setattr(protocol, "LEAST_BYTES_PER_S", 100)
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 5)
    number = free_port()
    app = Starlette(routes=[Route("/", echo, methods=["GET", "POST"])])
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=number, http=Protocol, log_config=None)
    )
    thread = Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield number
    server.should_exit = True
    thread.join()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def answer(connection: socket.socket) -> bytes:
    """Return all that comes before the server closes the connection."""
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


HEADERS = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: local", HEADERS])
def test_a_request_that_stops_half_way_is_408(port: int, sent: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(sent)

        received = answer(connection)

    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"/problems/request-too-slow" in received


def test_a_second_request_on_a_connection_has_a_deadline(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"GET / HTTP")

        assert b" 408 " in answer(connection)


def test_a_body_that_keeps_its_rate_may_take_long(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(HEADERS)
        for _ in range(10):
            time.sleep(0.08)
            connection.sendall(b"x" * 100)

        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_connections_beyond_the_limit_are_503(port: int) -> None:
    connections = [connect(port) for _ in range(6)]

    assert answer(connections[-1]).startswith(b"HTTP/1.1 503 ")
    for connection in connections:
        connection.close()
