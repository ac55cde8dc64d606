"""Whether the client has a method for every operation of the HTTP contract."""

import inspect
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from hardneg import Client, ClientError, Refused
from hardneg.schemas.problems import MEDIA_TYPE, Problem
from service.app import create_app
from service.settings import Settings

NOT_CALLED = {
    ("GET", "/metrics"),  # for Prometheus
    *((method, "/session") for method in ("GET", "POST", "DELETE")),  # for browsers
}
PROBLEM = Problem(type="/problems/test", title="Test", status=HTTPStatus.GONE, detail="a test")
METHODS = [
    name
    for name, _ in inspect.getmembers(Client, inspect.isfunction)
    if not name.startswith("_") and name != "close"
]


def call(name: str, folder: Path) -> list[tuple[str, str]]:
    """Call a method with any values; return method and path of the requests that it sends."""
    sent = []

    def refuse(request: httpx.Request) -> httpx.Response:
        sent.append((request.method, request.url.path))
        headers = {"Content-Type": MEDIA_TYPE}
        return httpx.Response(PROBLEM.status, headers=headers, text=PROBLEM.model_dump_json())

    file = folder / "file"
    file.write_bytes(b"bytes")
    values = {
        "annotations": b"{}",
        "architecture": "ssd_small",
        "archive": file,
        "checkpoint": file,
        "family_id": 1,
        "file": file,
        "file_format": "yolo",
        "files": [file],
        "image_id": 1,
        "job_id": 1,
        "key": "ci",
        "name": "ci",
        "path": file,
        "role": "read",
        "run_id": 1,
        "split": "train",
        "uri": "s3://bucket",
        "verdict": "negative",
        "version": "v1",
    }
    with Client("http://service") as client:
        client._http = httpx.Client(base_url=client.url, transport=httpx.MockTransport(refuse))
        method = getattr(client, name)
        needed = [
            parameter.name
            for parameter in inspect.signature(method).parameters.values()
            if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        ]
        with pytest.raises(Refused, match="a test"):
            begin(method(**{name: values[name] for name in needed}))
    return sent


def begin(answer: object) -> None:
    """Let an iterator send its first request."""
    if isinstance(answer, Iterator):
        next(answer)


@pytest.mark.parametrize("name", METHODS)
def test_refusal_of_any_call_is_a_refused_with_its_problem(name: str, tmp_path: Path) -> None:
    assert len(call(name, tmp_path)) == 1


@pytest.mark.parametrize(
    ("method", "answers", "num_sent"),
    [
        ("POST", [(429, "0"), (429, "0"), (200, "")], 3),
        ("POST", [(429, "0")] * 9, 6),
        ("POST", [(503, "0"), (200, "")], 1),
        ("DELETE", [(503, "0"), (200, "")], 2),
        ("GET", [(429, "3600"), (200, "")], 1),
        ("GET", [(429, "Wed, 21 Oct 2026 07:28:00 GMT"), (200, "")], 1),
    ],
)
def test_request_is_sent_again_when_the_service_asks_for_it(
    method: str, answers: list[tuple[int, str]], num_sent: int
) -> None:
    sent: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.read())
        status, retry_after = answers[len(sent) - 1]
        return httpx.Response(status, headers={"Retry-After": retry_after})

    with Client("http://service") as client, suppress(ClientError):
        client._http = httpx.Client(base_url=client.url, transport=httpx.MockTransport(answer))
        files = {"files": io.BytesIO(b"pixels")} if method == "POST" else None
        client._send(client._http.build_request(method, "/images", files=files))

    assert len(sent) == num_sent
    assert set(sent) == {sent[0]}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_docstring(name: str) -> None:
    assert inspect.getdoc(getattr(Client, name))


def test_every_operation_has_a_method(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    paths = create_app(settings).openapi()["paths"]
    operations = {(method.upper(), path) for path, item in paths.items() for method in item}
    sent = [request for name in METHODS for request in call(name, tmp_path)]

    def has_method(operation: tuple[str, str]) -> bool:
        pattern = re.sub(r"{\w+}", "[^/]+", operation[1])
        return any(operation[0] == method and re.fullmatch(pattern, path) for method, path in sent)

    assert {operation for operation in operations if not has_method(operation)} == NOT_CALLED
