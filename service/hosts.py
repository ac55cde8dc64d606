"""The hosts that `Host` and `Origin` headers and settings name."""

import re
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_PORT = 65535

_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^\[\]:]*)(:(?P<port>[0-9]{0,5}))?")


class Authority(NamedTuple):
    """A host, as `canonical_host` writes it, and the port if one is written."""

    host: str
    port: int | None


def parse_authority(text: str) -> Authority | None:
    """Return the host and port of `host`, `host:port` or `[IPv6]:port`; None for other text."""
    parts = _AUTHORITY.fullmatch(text)
    if parts is None:
        return None
    host = canonical_host(parts["host"])
    port = int(parts["port"]) if parts["port"] else None
    if host is None or (port is not None and port > MAX_PORT):
        return None
    return Authority(host, port)


def canonical_host(text: str) -> str | None:
    """
    Return a host in the one form that can be compared; None if `text` is not a host.

    A name is in lower case and without the dot that ends an absolute name; an IPv6 address is in
    its shortest form and without brackets.
    """
    try:
        if text.startswith("[") and text.endswith("]"):
            return IPv6Address(text[1:-1]).compressed
        return ip_address(text).compressed
    except ValueError:
        name = text.lower().removesuffix(".")
        return name if _NAME.fullmatch(name) else None


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_every_address(host: str) -> bool:
    """Return whether a server on `host` listens on every address of the machine."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
