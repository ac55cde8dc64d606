"""The checks of single settings; each returns the value, or raises ValueError with the remedy."""

import re
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr

from hardneg.schemas.keys import Role
from service.hosts import canonical_host, is_loopback

_SENDABLE = re.compile(r"[!-~]([ -~]*[!-~])?")

Backend = TypeVar("Backend", bound=str)


def split(text: str) -> list[str]:
    """Return the parts of a list that is separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def sendable(key: SecretStr | None) -> SecretStr | None:
    """Check that a header can carry a key."""
    if key is not None and not _SENDABLE.fullmatch(key.get_secret_value()):
        raise ValueError(
            "a header cannot carry this key: use ASCII letters, digits and punctuation, and "
            "no blank at either end"
        )
    return key


def hosts(text: str) -> str:
    """Check that a list names hosts alone."""
    for host in split(text):
        if canonical_host(host) is None:
            raise ValueError(
                f"'{host}' is not a host: write a name or an address without scheme and port, "
                "such as gpu-box.lan"
            )
    return text


def networks(text: str) -> str:
    """Check that a list names addresses and networks."""
    for network in split(text):
        try:
            ip_network(network)
        except ValueError as error:
            raise ValueError(
                f"'{network}' is not an address or a network: write 10.0.0.5 or 10.1.0.0/16"
            ) from error
    return text


def identity_provider(url: str) -> str:
    """Check that what an identity provider says cannot be changed on the way."""
    if not url:
        return url
    parts = urlsplit(url)
    is_local = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not parts.hostname or not (parts.scheme == "https" or is_local):
        raise ValueError("an identity provider needs an https URL; http only on loopback")
    if find_spec("joserfc") is None:
        raise ValueError("joserfc is missing: pip install 'hardneg[oidc]'")
    return url


def roles(text: str) -> str:
    """Check that a list gives groups roles."""
    parse_roles(text)
    return text


def parse_roles(text: str) -> dict[str, Role]:
    """Return the role of each group in a list such as `ml-team=train,labelling=review`."""
    found = {}
    for part in split(text):
        group, _, role = part.rpartition("=")
        if not group or role not in list(Role):
            raise ValueError(f"'{part}' is not a group and a role: write ml-team=train")
        found[group] = Role(role)
    return found


def with_tensorboard(folder: Path | None) -> Path | None:
    """Check that TensorBoard is installed if a folder for its logs is named."""
    if folder is not None and find_spec("tensorboard") is None:
        raise ValueError("TensorBoard is missing: pip install 'hardneg[tensorboard]'")
    return folder


def with_openvino(backend: Backend) -> Backend:
    """Check that OpenVINO is installed if it is the backend."""
    if backend == "openvino" and find_spec("openvino") is None:
        raise ValueError("OpenVINO is missing: pip install 'hardneg[openvino]'")
    return backend


def with_opentelemetry(endpoint: str) -> str:
    """Check that OpenTelemetry's SDK is installed if a collector is named."""
    packages = ("opentelemetry.sdk", "opentelemetry.exporter")
    if endpoint and any(find_spec(package) is None for package in packages):
        raise ValueError("OpenTelemetry is missing: pip install 'hardneg[otel]'")
    return endpoint
