"""A client of the app in this process, as a program on the same machine reaches it."""

from fastapi import FastAPI
from fastapi.testclient import TestClient


def local_client(app: FastAPI) -> TestClient:
    """Return a client that names `localhost` as its host: the service refuses unknown hosts."""
    return TestClient(app, base_url="http://localhost")
