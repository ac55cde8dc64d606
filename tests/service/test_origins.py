"""What a browser sends for a page of another origin, and what programs send."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.types import Message

from service.app import create_app
from service.hosts import Authority, parse_authority
from service.origins import OriginGuard
from service.settings import Settings
from tests.service.clients import local_client
from tests.service.servers import free_port, running_server

KEY = "a-key-of-some-length"
HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

Headers = list[tuple[str, str]]


def guarded_status(method: str, *headers: tuple[str, str], hosts: frozenset[str] | None) -> int:
    """Return the status that a client sees; 200 is the answer of the app behind the guard."""
    raw_headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": "http", "method": method, "path": "/", "headers": raw_headers}
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    asyncio.run(OriginGuard(PlainTextResponse("reached"), hosts)(scope, receive, send))
    (status,) = statuses
    return status


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LocalHost:8000",
        "localhost.",
        "localhost.:8000",
        "localhost:",
        "127.0.0.1:65535",
        "[::1]",
        "[::1]:8000",
        "[0:0:0:0:0:0:0:1]:8000",
        " localhost ",
    ],
)
def test_loopback_host_is_answered(host: str) -> None:
    assert guarded_status("GET", ("Host", host), hosts=HOSTS) == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        ":8000",
        "evil.example",
        "localhost.evil.example:8000",
        "evil.example.localhost.example",
        "localhost..",
        "localhost:80000",
        "localhost:8000:8000",
        "localhost:-1",
        "localhost:x",
        "localhost,evil.example",
        "localhost evil.example",
        "user@localhost",
        "user:password@localhost:8000",
        "localhost/",
        "localhost?",
        "localhost#",
        "localhost\\",
        "http://localhost",
        "0.0.0.0:8000",
        "127.1",
        "127.0.0.1.evil.example",
        "2130706433",
        "::1",
        "[::1",
        "::1]",
        "[]",
        "[localhost]",
        "[127.0.0.1]",
        "[::1%25lo]",
        "[::1]evil.example",
        "localh\xf6st",
        "testserver",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "DELETE"])
def test_foreign_or_malformed_host_is_421(host: str, method: str) -> None:
    assert guarded_status(method, ("Host", host), hosts=HOSTS) == 421


def test_request_without_a_host_or_with_two_is_421() -> None:
    assert guarded_status("GET", hosts=HOSTS) == 421
    twice = [("Host", "localhost"), ("Host", "localhost")]
    assert guarded_status("GET", *twice, hosts=HOSTS) == 421


def test_host_must_be_well_formed_where_every_host_is_allowed() -> None:
    assert guarded_status("GET", ("Host", "gpu-box.lan:8000"), hosts=None) == 200
    assert guarded_status("GET", ("Host", "hardneg_api:8000"), hosts=None) == 200
    assert guarded_status("GET", ("Host", "a/b"), hosts=None) == 421
    assert guarded_status("GET", hosts=None) == 421


UNSAFE = ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Origin", "http://localhost:8000")],
        [("Origin", "http://localhost:8000"), ("Sec-Fetch-Site", "same-origin")],
        [("Sec-Fetch-Site", "none")],
        [("Origin", "http://LOCALHOST.:8000")],
    ],
)
@pytest.mark.parametrize("method", UNSAFE)
def test_change_by_a_program_or_an_own_page_is_let_through(headers: Headers, method: str) -> None:
    assert guarded_status(method, ("Host", "localhost:8000"), *headers, hosts=HOSTS) == 200


@pytest.mark.parametrize(
    "headers",
    [
        [("Origin", "http://evil.example")],
        [("Origin", "null")],
        [("Origin", "")],
        [("Origin", "http://localhost")],
        [("Origin", "http://localhost:3000")],
        [("Origin", "http://127.0.0.1:8000")],
        [("Origin", "http://localhost:8000.evil.example")],
        [("Origin", "http://localhost:8000@evil.example")],
        [("Origin", "http://user@localhost:8000")],
        [("Origin", "http://localhost:8000/")],
        [("Origin", "http://localhost:8000 http://evil.example")],
        [("Origin", "localhost:8000")],
        [("Origin", "//localhost:8000")],
        [("Origin", "file://")],
        [("Origin", "ftp://localhost:8000")],
        [("Origin", "chrome-extension://localhost:8000")],
        [("Origin", "http://[::1")],
        [("Origin", "http://localhost:8000"), ("Origin", "http://evil.example")],
        [("Origin", "http://localhost:8000"), ("Sec-Fetch-Site", "cross-site")],
        [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "same-origin")],
        [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
        [("Sec-Fetch-Site", "")],
        [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
    ],
)
@pytest.mark.parametrize("method", UNSAFE)
def test_change_by_a_page_of_another_origin_is_403(headers: Headers, method: str) -> None:
    assert guarded_status(method, ("Host", "localhost:8000"), *headers, hosts=HOSTS) == 403


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        ("http://mine.example", "mine.example", 200),
        ("http://mine.example", "mine.example:80", 200),
        ("https://mine.example", "mine.example", 200),  # a proxy ends TLS and keeps the host
        ("https://mine.example", "mine.example:443", 200),
        ("https://mine.example", "mine.example:80", 403),
        ("http://mine.example", "other.example", 403),
        ("http://[fd00::5]:8000", "[FD00:0::5]:8000", 200),
    ],
)
def test_origin_is_compared_with_the_host_and_the_scheme_gives_the_port(
    origin: str, host: str, status: int
) -> None:
    headers = [("Host", host), ("Origin", origin)]

    assert guarded_status("POST", *headers, hosts=None) == status


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_from_a_page_of_another_origin_is_let_through(method: str) -> None:
    headers = [("Host", "localhost"), ("Origin", "null"), ("Sec-Fetch-Site", "cross-site")]

    assert guarded_status(method, *headers, hosts=HOSTS) == 200


@given(method=st.sampled_from(["GET", "POST"]), host=st.binary(), origin=st.binary())
@example("GET", b"localhost:8000\n", b"")
@example("GET", b"[::1]:\xb2", b"")
@example("POST", b"localhost", b"http://[::1]]")
def test_any_bytes_are_answered_and_let_nothing_foreign_through(
    method: str, host: bytes, origin: bytes
) -> None:
    headers = [("Host", host.decode("latin-1")), ("Origin", origin.decode("latin-1"))]

    status = guarded_status(method, *headers, hosts=HOSTS)

    assert status in (200, 403, 421)
    if status == 200:
        assert host.strip(b" \t").lower().startswith((b"localhost", b"127.0.0.1", b"["))
        assert method == "GET" or origin.lower().startswith((b"http://", b"https://"))


@given(
    name=st.from_regex(r"[a-zA-Z0-9_-]{0,9}[a-zA-Z]", fullmatch=True),
    port=st.integers(0, 65535) | st.none(),
)
def test_authority_is_the_name_in_lower_case_and_the_port(name: str, port: int | None) -> None:
    text = f"{name}.example." if port is None else f"{name}.example:{port}"

    assert parse_authority(text) == Authority(f"{name.lower()}.example", port)
    assert parse_authority(f"{text}@other.example") is None


@pytest.fixture(params=[None, KEY], ids=["without-key", "with-key"])
def local(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TestClient]:
    """Yield a client of a service on loopback; it sends the key if the service has one."""
    settings = Settings(
        data_dir=tmp_path / "data", device="cpu", embedded_worker=False, api_key=request.param
    )
    with local_client(create_app(settings)) as client:
        if request.param is not None:
            client.headers["X-API-Key"] = request.param
        yield client


def test_every_call_is_guarded(local: TestClient) -> None:
    assert isinstance(local.app, FastAPI)
    calls = [
        (method.upper(), path.replace("{", "").replace("}", ""))
        for path, methods in local.app.openapi()["paths"].items()
        for method in methods
    ]

    for method, path in [*calls, ("GET", "/docs"), ("POST", "/nowhere"), ("GET", "/openapi.json")]:
        rebound = local.request(method, path, headers={"Host": "evil.example"})
        assert_problem(rebound, 421, "unknown-host")
        if method != "GET":
            forged = local.request(method, path, headers={"Origin": "http://evil.example"})
            assert_problem(forged, 403, "foreign-origin")


def assert_problem(response: Response, status: int, slug: str) -> None:
    assert response.status_code == status, response.request.url
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["type"] == f"/problems/{slug}"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "TRACE", "PROPFIND"])
def test_method_that_a_path_does_not_know_is_a_problem(local: TestClient, method: str) -> None:
    response = local.request(method, "/images")

    assert response.status_code == 405
    assert response.headers["Content-Type"] == "application/problem+json"


def test_no_answer_invites_other_origins_to_read_it(local: TestClient) -> None:
    headers = {
        "Origin": "http://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Private-Network": "true",
    }

    for method in ("GET", "OPTIONS", "POST"):
        response = local.request(method, "/images", headers=headers)

        assert not [name for name in response.headers if name.startswith("access-control-")]
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"


Ask = Callable[[bytes], tuple[int, str, bytes]]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Send lines, divided by `|`, to a real server; return status, media type and body."""
    port = free_port()

    def send(lines: bytes) -> tuple[int, str, bytes]:
        request = lines.replace(b"|", b"\r\n") + b"\r\nConnection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(request.replace(b"PORT", str(port).encode()))
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        status_line, *header_lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in header_lines)
        return int(status_line.split()[1]), headers["content-type"], body

    folder = tmp_path_factory.mktemp("server")
    with running_server(f"sqlite:///{folder / 'db.sqlite3'}", folder, port):
        yield send


@pytest.mark.parametrize(
    "lines",
    [
        b"GET /healthz HTTP/1.1|Host: 127.0.0.1:PORT",
        b"GET /healthz HTTP/1.1|HOST:\t localhost:PORT \t",
        b"GET /healthz HTTP/1.0|Host: localhost",
        b"GET http://evil.example/healthz HTTP/1.1|Host: localhost",
    ],
)
def test_raw_request_to_loopback_is_answered(ask: Ask, lines: bytes) -> None:
    assert ask(lines)[0] == 200


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"GET /healthz HTTP/1.0", 421),
        (b"GET /healthz HTTP/1.1", 421),
        (b"GET /healthz HTTP/1.1|Host:", 421),
        (b"GET /healthz HTTP/1.1|Host: localhost|Host: evil.example", 421),
        (b"GET /healthz HTTP/1.1|Host: evil.example|X-Forwarded-Host: localhost", 421),
        (b"GET /healthz HTTP/1.1|Host: evil.example|Forwarded: host=localhost", 421),
        (b"GET http://localhost/healthz HTTP/1.1|Host: evil.example", 421),
        (b"GET /healthz HTTP/1.1|Host: \xff", 421),
        (b"GET /nowhere?\xff HTTP/1.1|Host: localhost", 400),
        (b"DELETE /images/1 HTTP/1.1|Host: localhost:PORT|Origin: http://localhost:1", 403),
        (b"DELETE /images/1 HTTP/1.1|Host: localhost:PORT|Origin: http://localhost:PORT", 404),
        (b"POST /images HTTP/1.1|Host: localhost|Origin: null|Content-Length: 9999999", 403),
        (b"PROPFIND /nothing HTTP/1.1|Host: localhost", 404),
        (b"PROPFIND /images HTTP/1.1|Host: localhost", 405),
        (b"FETCH /images HTTP/1.1|Host: localhost", 400),
        (b"nonsense", 400),
    ],
)
def test_raw_request_is_answered_with_a_problem(ask: Ask, lines: bytes, status: int) -> None:
    answered, media_type, body = ask(lines)

    assert (answered, media_type) == (status, "application/problem+json")
    assert json.loads(body)["status"] == status
