"""Requests to one service: sent over pooled connections, read as typed answers."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from hardneg.errors import ClientError, Refused, Unreachable
from hardneg.schemas.problems import MEDIA_TYPE, Problem

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 600.0  # the service scores a full batch on a slow detector before it answers
MAX_CONNECTIONS = 16
MAX_TRIES = 6
MAX_PAUSE_S = 60  # of one try; a service that asks for more is told to the caller
PARTIAL_SUFFIX = ".part"

TOO_LARGE = Problem(
    type="about:blank",
    title="Content Too Large",
    status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    detail="the request body is larger than this service takes",
)

Form = Mapping[str, str | list[str]]
Part = tuple[str, tuple[str, bytes | BinaryIO]]
Query = Mapping[str, str | int | float | bool | None]
Model = TypeVar("Model", bound=BaseModel)
Page = TypeVar("Page", bound=BaseModel)
Cursor = TypeVar("Cursor", int, str)


class Connection:
    """Connections to one service; several threads may share it."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        """
        Prepare to call a service; nothing is sent yet.

        Args:
            url: address of the service, such as `http://127.0.0.1:8000`.
            api_key: the service's key, if it has one.

        Raises:
            ClientError: The address is not an HTTP URL.
        """
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        try:
            self._http = httpx.Client(
                base_url=self.url,
                headers=headers,
                timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
                limits=httpx.Limits(max_connections=MAX_CONNECTIONS),
                trust_env=False,  # a proxy for the web must not stand before this service
            )
        except (httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise ClientError(f"{url!r} is not the URL of a service: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; the end of a `with` block does so, too."""
        self._http.close()

    def _get(self, path: str, query: Query | None = None) -> httpx.Response:
        """Send a GET request; fields of the query that are None are left out."""
        return self._send(self._http.build_request("GET", path, params=_given(query)))

    def _post(
        self,
        path: str,
        form: Form | None = None,
        parts: Sequence[Part] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        request = self._http.build_request("POST", path, data=form, files=parts, headers=headers)
        return self._send(request)

    def _send_json(self, method: str, path: str, body: object) -> httpx.Response:
        return self._send(self._http.build_request(method, path, json=body))

    def _delete(self, path: str) -> None:
        self._send(self._http.build_request("DELETE", path))

    def _send(self, request: httpx.Request) -> httpx.Response:
        """Send a request, again after a pause where the service asks for one."""
        for tries_left in reversed(range(MAX_TRIES)):
            with self._named_errors():
                answer = self._http.send(request)
            if answer.is_success:
                return answer
            pause_s = _pause_s(answer)
            if pause_s is None or tries_left == 0:
                break
            time.sleep(pause_s)
        raise _refusal(answer)

    @contextmanager
    def _streamed(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        query: Query | None = None,
    ) -> Iterator[httpx.Response]:
        """Send a GET request whose answer is read piece by piece inside of the `with` block."""
        request = self._http.stream("GET", path, headers=headers, params=_given(query))
        with self._named_errors(), request as answer:
            if not answer.is_success:
                answer.read()
                raise _refusal(answer)
            yield answer

    def _save(self, path: str, file: Path, query: Query | None = None) -> Path:
        """
        Download an answer into a file, which appears when it is whole.

        Raises:
            ClientError: The service refuses, the connection breaks, or the file cannot be written.
        """
        partial = file.with_name(file.name + PARTIAL_SUFFIX)
        try:
            with self._streamed(path, query=query) as answer:
                try:
                    with partial.open("wb") as opened_file:
                        for chunk in answer.iter_bytes():
                            opened_file.write(chunk)
                    partial.replace(file)
                except OSError as error:
                    raise ClientError(f"cannot write {file}: {error.strerror}") from error
        finally:
            partial.unlink(missing_ok=True)
        return file

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise Unreachable(f"{self.url} does not answer in time") from error
        except httpx.ConnectError as error:
            raise Unreachable(
                f"no service answers at {self.url}: start one with `hardneg serve`, "
                "or give the address of another one (--url, HARDNEG_URL)"
            ) from error
        except httpx.TransportError as error:
            raise Unreachable(f"the connection to {self.url} broke: {error}") from error


def _given(query: Query | None) -> dict[str, str | int | float | bool]:
    """Return the fields of a query that are not None."""
    return {name: value for name, value in (query or {}).items() if value is not None}


def read_answer(model: type[Model], answer: httpx.Response) -> Model:
    """Parse a JSON answer; raise ClientError for one that the schema does not describe."""
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as error:
        raise ClientError(
            f"{answer.request.url} answers, but not as a hardneg service of this version"
        ) from error


def iterate_pages(
    show: Callable[[Cursor | None], Page], next_cursor: Callable[[Page], Cursor | None]
) -> Iterator[Page]:
    """Yield pages from the first one on, until one names no successor."""
    cursor: Cursor | None = None
    while True:
        page = show(cursor)
        yield page
        cursor = next_cursor(page)
        if cursor is None:
            return


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file to upload it; raise ClientError if it cannot be read."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise ClientError(f"cannot read {path}: {error.strerror}") from error


def _pause_s(answer: httpx.Response) -> int | None:
    """
    Return for how long to wait before a request is sent again; None if it should not be.

    429 comes before anything was done. 503 may come after a change was made: a POST might make a
    second one, the other methods would make the same.
    """
    may_repeat = answer.status_code == HTTPStatus.TOO_MANY_REQUESTS or (
        answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE and answer.request.method != "POST"
    )
    text = answer.headers.get("retry-after", "")
    if not may_repeat or not text.isascii() or not text.isdecimal() or len(text) > 3:
        return None
    return int(text) if int(text) <= MAX_PAUSE_S else None


def _refusal(answer: httpx.Response) -> ClientError:
    if answer.headers.get("content-type") == MEDIA_TYPE:
        return Refused(read_answer(Problem, answer))
    if answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:  # a proxy may have answered
        return Refused(TOO_LARGE)
    return ClientError(
        f"{answer.request.url} answers {answer.status_code} {answer.reason_phrase}: "
        "check that it is a hardneg service"
    )
