"""Mine hard negatives for object detectors: the Python SDK, the command line and the demo."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hardneg.client import Client, ClientError, Refused, TimedOut, Unreachable

__all__ = ["Client", "ClientError", "Refused", "TimedOut", "Unreachable"]


def __getattr__(name: str) -> object:
    """Import the client on first use, because `hardneg --help` does not need it."""
    if name in __all__:
        from hardneg import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
