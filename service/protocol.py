"""HTTP connections with deadlines and a limit; uvicorn has neither for half-sent requests."""

import asyncio
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.errors import ServiceError, error_response

MAX_CONNECTIONS = 1000
HEADERS_WITHIN_S = 20.0
# A body may take so long, and longer while it comes at this rate.
BODY_WITHIN_S = 60.0
LEAST_BYTES_PER_S = 8 * 1024
CHECK_EVERY_S = 5.0


class InvalidHttp(ServiceError):
    """The bytes received are not an HTTP request."""

    status = HTTPStatus.BAD_REQUEST
    slug = "invalid-http"
    title = "Invalid HTTP"

    def __init__(self) -> None:
        super().__init__("the server cannot parse this as a request: send HTTP/1.1")


class RequestTooSlow(ServiceError):
    """A request that did not arrive within its deadline."""

    status = HTTPStatus.REQUEST_TIMEOUT
    slug = "request-too-slow"
    title = "Request too slow"

    def __init__(self) -> None:
        super().__init__(
            f"the headers did not arrive within {HEADERS_WITHIN_S:.0f} s, or the body came at less "
            f"than {LEAST_BYTES_PER_S} bytes/s: send it again, in smaller parts"
        )


class TooManyConnections(ServiceError):
    """More connections are open than the server keeps."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "too-many-connections"
    title = "Too many connections"

    def __init__(self) -> None:
        super().__init__("the server has as many connections open as it keeps: try again later")


class Protocol(HttpToolsProtocol):
    """
    uvicorn's protocol with deadlines, a limit of connections, and problems for what it refuses.

    A deadline runs from the first byte of a request, or from the start of a connection, to the end
    of the headers. Another one runs to the end of the body and moves with each byte of it.
    """

    _deadline: asyncio.TimerHandle | None = None
    _body_began: float | None = None
    _num_body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse(TooManyConnections())
        else:
            self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        is_between_requests = self.cycle is None or self.cycle.response_complete
        if self._deadline is None and is_between_requests:
            self._await_headers()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._clear_deadline()
        self._body_began, self._num_body_bytes = self.loop.time(), 0
        self._deadline = self.loop.call_later(CHECK_EVERY_S, self._check_body)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._num_body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._clear_deadline()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(InvalidHttp())

    def _await_headers(self) -> None:
        self._clear_deadline()
        self._deadline = self.loop.call_later(HEADERS_WITHIN_S, self._refuse, RequestTooSlow())

    def _check_body(self) -> None:
        assert self._body_began is not None
        waited_s = self.loop.time() - self._body_began
        if self.flow.read_paused:  # the service takes its time, not the client
            self._body_began += CHECK_EVERY_S
        elif waited_s > BODY_WITHIN_S + self._num_body_bytes / LEAST_BYTES_PER_S:
            self._refuse(RequestTooSlow())
            return
        self._deadline = self.loop.call_later(CHECK_EVERY_S, self._check_body)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, error: ServiceError) -> None:
        """Answer with a problem, unless an answer has begun, and close the connection."""
        self._clear_deadline()
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            response = error_response(error)
            headers = [name + b": " + value for name, value in response.raw_headers]
            phrase = f"HTTP/1.1 {error.status.value} {error.status.phrase}".encode()
            lines = [phrase, *headers, b"connection: close", b""]
            self.transport.write(b"\r\n".join([*lines, bytes(response.body)]))
        self.transport.close()
