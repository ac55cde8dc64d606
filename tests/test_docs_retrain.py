"""The calls that docs/how-to/retrain.md shows are calls that the service has."""

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from hardneg.schemas.images import Judgement
from hardneg.schemas.training_runs import RetrainRequest
from service.app import create_app
from service.settings import Settings

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "retrain.md").read_text(encoding="utf-8")
BODIES: dict[str, type[BaseModel]] = {"retrain": RetrainRequest, "verdict": Judgement}


@pytest.fixture(scope="module")
def patterns(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return a pattern for each path of the OpenAPI document."""
    app = create_app(Settings(data_dir=tmp_path_factory.mktemp("data")))
    return [re.sub(r"\{\w+\}", "[^/]+", path) for path in app.openapi()["paths"]]


def test_every_path_exists(patterns: list[str]) -> None:
    shown = re.findall(r"\$URL(/[\w/.-]+)", PAGE) + re.findall(r"`(?:GET|POST) (/[^`]+)`", PAGE)

    assert len(shown) >= 14
    assert [path for path in shown if not any(re.fullmatch(p, path) for p in patterns)] == []


def test_every_body_is_accepted() -> None:
    calls = re.findall(
        r"\$URL/(?:images/\d+/)?(\w+) [^']*'Content-Type[^']*'[^']*-d '([^']+)'", PAGE
    )
    samplers = re.findall(r"`(\{\"sampler\".*?\}\})`", PAGE)

    for name, body in [*calls, *(("retrain", body) for body in samplers)]:
        BODIES[name].model_validate(json.loads(body))
    assert len(calls) == 4
    assert len(samplers) == 1


def test_every_field_it_names_exists() -> None:
    named = set(re.findall(r"`(num_negatives|negative_share|negative_weight|\w+_margin)`", PAGE))

    assert named <= RetrainRequest.model_fields.keys()
    assert len(named) == 4
