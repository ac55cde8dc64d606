"""One delivery of an event to one address: signed, and only to addresses that are allowed."""

import base64
import hmac
import json
import socket
from collections.abc import Mapping
from hashlib import sha256
from ipaddress import ip_address
from urllib.parse import urlsplit, urlunsplit

import httpx

from service.tables import OutboxEvent, utc_now

SOURCE = "/hardneg"
TIMEOUT_S = 10.0


class NotDelivered(Exception):
    """An address did not take an event; the text says why."""


def cloud_event(event: OutboxEvent) -> bytes:
    """Return an event as JSON in the form of CloudEvents 1.0."""
    document = {
        "specversion": "1.0",
        "id": str(event.id),
        "source": SOURCE,
        "type": f"hardneg.{event.type}",
        "subject": event.subject,
        "time": event.created_at.isoformat(),
        "datacontenttype": "application/json",
        "data": event.data,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def signed_headers(event_id: int, timestamp: int, body: bytes, secret: str) -> dict[str, str]:
    """
    Return the headers that prove who sent a body, and when.

    They follow Standard Webhooks: the signature is over id, timestamp and body.
    """
    signed = f"{event_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret.encode(), signed, sha256)).decode()
    return {
        "Content-Type": "application/cloudevents+json",
        "webhook-id": str(event_id),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def deliver(
    client: httpx.Client, event: OutboxEvent, url: str, secret: str, *, allows_private: bool
) -> None:
    """
    Post an event to an address.

    The name is resolved once and that address is used: a name that changes its address after the
    check cannot lead into the private network. Redirects are not followed.

    Raises NotDelivered.
    """
    body = cloud_event(event)
    headers = signed_headers(event.id, int(utc_now().timestamp()), body, secret)
    target, extensions, host = _pinned(url, allows_private=allows_private)
    try:
        answer = client.post(
            target, content=body, headers={**headers, "Host": host}, extensions=extensions
        )
    except httpx.HTTPError as error:
        raise NotDelivered(f"{type(error).__name__}: {error}") from error
    if not answer.is_success:
        raise NotDelivered(f"it answered {answer.status_code}")


def _pinned(url: str, *, allows_private: bool) -> tuple[str, Mapping[str, str], str]:
    """Return the URL with an allowed address for its name, the name for TLS, and `Host`."""
    parts = urlsplit(url)
    name = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NotDelivered(f"the name {name} is not known: {error.strerror}") from error
    addresses = [ip_address(entry[4][0]) for entry in found]
    if not allows_private and not all(address.is_global for address in addresses):
        raise NotDelivered(
            f"{name} is an address of a private network: HARDNEG_WEBHOOK_PRIVATE_ADDRESSES=true "
            "allows these"
        )
    shown = str(addresses[0]) if addresses[0].version == 4 else f"[{addresses[0]}]"
    pinned = urlunsplit((parts.scheme, f"{shown}:{port}", parts.path or "/", parts.query, ""))
    return pinned, {"sni_hostname": name}, parts.netloc.rpartition("@")[2]
