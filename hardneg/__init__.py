"""Mine hard negatives for object detectors: the Python SDK, the command line and the demo."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hardneg.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> object:
    """Import the client on first use, so that `hardneg --help` does not wait for it."""
    if name == "Client":
        from hardneg.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
