"""Keeps web pages of other origins from driving the service through a visitor's browser."""

from collections.abc import Collection, Sequence
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ServiceError, error_response
from service.hosts import Authority, parse_authority

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Another port of the same machine is "same-site" and yet another program's page.
OWN_FETCH_SITES = frozenset({"same-origin", "none"})
DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_SHOWN_LENGTH = 100


class UnknownHost(ServiceError):
    """The request is addressed to a host that is not the service's."""

    status = HTTPStatus.MISDIRECTED_REQUEST
    slug = "unknown-host"
    title = "Unknown host"

    def __init__(self, sent: Sequence[str]) -> None:
        """Name the `Host` headers that were `sent`; there should be one."""
        shown = f"'{sent[0][:MAX_SHOWN_LENGTH]}'" if len(sent) == 1 else f"of {len(sent)} headers"
        super().__init__(
            f"the service does not answer to the host {shown}: send the request to an address "
            "that it knows, such as localhost, or add this one to HARDNEG_ALLOWED_HOSTS"
        )


class ForeignOrigin(ServiceError):
    """A web page of another origin sent a request that changes something."""

    status = HTTPStatus.FORBIDDEN
    slug = "foreign-origin"
    title = "Foreign origin"

    def __init__(self) -> None:
        super().__init__(
            "a web page of another origin sent this request: send it from a program or from a "
            "page of this service; a proxy in between must pass the Host header on unchanged"
        )


class OriginGuard:
    """
    Middleware that refuses what a browser sends for a page of another origin.

    It stops two attacks. In DNS rebinding, a page makes its own host name lead to this machine;
    the request's `Host` is then unknown to us: 421. In cross-site request forgery, a page sends a
    form or a `no-cors` fetch to our address; the browser adds the page's `Origin` or
    `Sec-Fetch-Site`: 403. Programs send neither of the two headers and pass.

    Safe methods pass from any origin, because they change nothing and a link from another site
    should work. Other pages cannot read the answers, which carry no CORS header, nor embed them
    as images, because of `Cross-Origin-Resource-Policy`. (Its value `same-site` would help no one:
    Chromium 156 takes another port of 127.0.0.1 for another site.)
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None) -> None:
        """Take the `hosts` to answer to, in canonical form; None answers to every host."""
        self.app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Cross-Origin-Resource-Policy"] = "same-origin"
            await send(message)

        try:
            self._check(scope["method"], Headers(scope=scope))
        except ServiceError as error:
            await error_response(error)(scope, receive, send_with_policy)
        else:
            await self.app(scope, receive, send_with_policy)

    def _check(self, method: str, headers: Headers) -> None:
        """
        Check where a request is addressed to and, if it may change something, what sent it.

        Raises:
            UnknownHost: there is no `Host` of ours, or more than one.
            ForeignOrigin: a browser sends an unsafe method for a page of another origin.
        """
        sent = headers.getlist("host")
        own = parse_authority(sent[0].strip(" \t")) if len(sent) == 1 else None
        if own is None or not (self._hosts is None or own.host in self._hosts):
            raise UnknownHost(sent)
        if method not in SAFE_METHODS and not _is_from_own_page_or_program(headers, own):
            raise ForeignOrigin


def _is_from_own_page_or_program(headers: Headers, own: Authority) -> bool:
    return all(_is_same_origin(origin, own) for origin in headers.getlist("origin")) and all(
        site in OWN_FETCH_SITES for site in headers.getlist("sec-fetch-site")
    )


def _is_same_origin(origin: str, own: Authority) -> bool:
    """
    Return whether `origin` is `http://` or `https://` and the authority that `Host` names.

    The scheme is not compared further: behind a proxy that ends TLS, only the browser knows it.
    """
    scheme, _, rest = origin.partition("://")
    authority = parse_authority(rest)
    if authority is None or scheme not in DEFAULT_PORTS:
        return False
    ports = [DEFAULT_PORTS[scheme] if port is None else port for port in (authority.port, own.port)]
    return authority.host == own.host and ports[0] == ports[1]
