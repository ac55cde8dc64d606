"""The Grafana dashboard and the alert rules ask for metrics that a running service shows."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML
from sqlalchemy.orm import Session

from service import migrate
from service.app import create_app
from service.db import open_engine
from service.jobs.store import add_job
from service.settings import Settings
from tests.service.job_kinds import wait_until

MONITORING = Path(__file__).parents[1] / "monitoring"
GRID_WIDTH = 24
ONLY_WITH_A_GPU = {"hardneg_gpu_memory_used_bytes", "hardneg_gpu_memory_total_bytes"}


def read_dashboard() -> dict[str, Any]:
    text = (MONITORING / "grafana" / "hardneg.json").read_text(encoding="utf-8")
    dashboard: dict[str, Any] = json.loads(text)
    return dashboard


def read_alert_rules() -> list[dict[str, Any]]:
    (group,) = YAML(typ="safe").load(MONITORING / "alerts.yml")["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def expressions() -> list[str]:
    of_panels = [
        target["expr"].replace("$__rate_interval", "5m")
        for panel in read_dashboard()["panels"]
        for target in panel["targets"]
    ]
    return of_panels + [rule["expr"] for rule in read_alert_rules()]


def series_of(expression: str) -> list[tuple[str, set[str]]]:
    """Return the series that an expression reads, each with the labels that it filters by."""
    found: list[tuple[str, set[str]]] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name or "", {matcher.name for matcher in node.matchers.matchers}))

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Return the labels of each series of a service that has a job and has answered a call."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), device="cpu")
    engine = open_engine(settings.sqlalchemy_url)
    migrate.upgrade(engine)
    with Session(engine) as session, session.begin():
        add_job(session, kind="measure", lane="measure", params={}, max_failures=1)
    engine.dispose()
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        client.get("/readyz")
        wait_until(lambda: "hardneg_jobs{" in client.get("/metrics").text)
        text = client.get("/metrics").text
    return {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_service_shows_every_series_that_a_panel_or_an_alert_reads(
    shown: dict[str, set[str]],
) -> None:
    read = [series for expression in expressions() for series in series_of(expression)]

    assert {name for name, _ in read} - shown.keys() <= ONLY_WITH_A_GPU
    assert [(name, labels) for name, labels in read if not labels <= shown.get(name, labels)] == []


def test_every_panel_has_a_unit_a_query_and_a_place_of_its_own() -> None:
    panels = read_dashboard()["panels"]
    places = [panel["gridPos"] for panel in panels]

    for panel in panels:
        assert panel["title"]
        assert panel["targets"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}"
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(place["x"] + place["w"] <= GRID_WIDTH for place in places)
    assert not any(
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
        for one, other in combinations(places, 2)
    )


def test_every_alert_says_what_is_wrong_and_how_bad_it_is() -> None:
    for rule in read_alert_rules():
        assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
