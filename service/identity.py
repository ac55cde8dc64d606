"""The person or program on whose behalf this thread or task works."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from hardneg.schemas.keys import Role


@dataclass(frozen=True, slots=True)
class Identity:
    """
    A caller.

    Attributes:
        name, role: of its key, or of the person.
        key_id: None for callers without a stored key.
        csrf_token: of a browser that has signed in; it must send it with each change.
    """

    name: str
    role: Role
    key_id: int | None = None
    csrf_token: str | None = None


WITHOUT_KEY = Identity("anyone", Role.ADMIN)  # of a service on loopback that has no keys
SETTINGS_KEY = Identity("HARDNEG_API_KEY", Role.ADMIN)
COMMAND_LINE = Identity("command line", Role.ADMIN)
SERVICE = Identity("service", Role.ADMIN)  # its own threads, and workers

_current: ContextVar[Identity] = ContextVar("identity", default=SERVICE)


def current_identity() -> Identity:
    """Return the caller of the request that is being answered; else the service itself."""
    return _current.get()


@contextmanager
def acting_as(identity: Identity) -> Iterator[None]:
    """Work on behalf of `identity` until the block ends, also in threads that it starts."""
    token = _current.set(identity)
    try:
        yield
    finally:
        _current.reset(token)
