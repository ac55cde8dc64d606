"""The service's fixtures: faults are tried on a service like any other."""

from tests.service.conftest import (
    add_version,
    checkpoint,
    client,
    engine,
    jobs,
    plain_logs,
    serving,
    settings,
)

__all__ = [
    "add_version",
    "checkpoint",
    "client",
    "engine",
    "jobs",
    "plain_logs",
    "serving",
    "settings",
]
