"""The resources of an app under test."""

from fastapi import FastAPI
from fastapi.testclient import TestClient

from service.scoring.engine import LoadedVersion
from service.scoring.resources import Resources
from service.scoring.scorer import Scorer


def resources_of(client: TestClient) -> Resources:
    assert isinstance(client.app, FastAPI)
    resources: Resources = client.app.state.resources
    return resources


def serving_of(scorer: Scorer) -> LoadedVersion:
    assert scorer.serving is not None
    return scorer.serving
