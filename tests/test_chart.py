"""The Helm chart, rendered and validated without a cluster."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML
from sqlalchemy import text

from docsite.settings_page import CHART_SCHEMA, renew_schema
from service.jobs.store import add_job
from service.scans.job import SCAN
from tests.service.job_kinds import Jobs

helm = pytest.importorskip("helm_python", reason="no build of Helm's library for this machine")

CHART = Path(__file__).parents[1] / "chart"
KUBERNETES = ("1.27", "1.37")  # the oldest that the chart claims, and the newest with a schema

CUSTOM_KINDS = {"ScaledObject"}  # of KEDA: Kubernetes' own schemas do not know it

Object = dict[str, Any]
FEWEST: Object = {
    "database": {"url": "postgresql://hardneg:secret@db/hardneg"},
    "keys": {"apiKey": "0123456789abcdef"},
}
PLACED = {
    "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "16Gi"}},
    "nodeSelector": {"gpu": "h100"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"podAntiAffinity": {}},
}
PEER = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
EVERYTHING: Object = {
    "image": {"repository": "registry.example/hardneg", "tag": "1.2", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "database": {"existingSecret": "database"},
    "keys": {"existingSecret": "keys"},
    "bucket": {"url": "s3://bucket/hardneg", "credentialsSecret": "bucket"},
    "temporary": {"sizeLimit": "50Gi"},
    "settings": {"HARDNEG_MAX_CHECKPOINT_BYTES": 8 << 30, "HARDNEG_DETECTION_FLOOR": 0.1},
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r"}},
    "service": {
        "type": "LoadBalancer",
        "port": 8080,
        "annotations": {"scheme": "internal"},
    },
    "api": {"replicas": 3, **PLACED},
    "worker": {"replicas": 2, "sharedMemory": "8Gi", **PLACED},
    "scanner": {
        "replicas": 1,
        **PLACED,
        "autoscaling": {
            "enabled": True,
            "minReplicas": 1,
            "maxReplicas": 40,
            "rangesPerScanner": 4,
            "cooldownPeriod": 60,
        },
    },
    "podDisruptionBudget": {"enabled": True, "maxUnavailable": "25%"},
    "metrics": {"annotations": True, "port": 9200},
    "networkPolicy": {
        "enabled": True,
        "apiFrom": [PEER],
        "metricsFrom": [PEER],
        "egress": [{"ports": [{"port": 5432, "protocol": "TCP"}]}],
    },
}


def render(values: Mapping[str, Any]) -> list[Object]:
    with helm.Chart.load(CHART) as chart:
        files = chart.render(values, name="mine", namespace="default")
    return [
        content
        for name, text in files.items()
        if name.endswith(".yaml")
        for content in YAML(typ="safe").load_all(text)
        if content
    ]


def of_kind(kind: str, objects: list[Object]) -> dict[str, Object]:
    return {item["metadata"]["name"]: item for item in objects if item["kind"] == kind}


def pod_of(deployment: Object) -> Object:
    spec: Object = deployment["spec"]["template"]["spec"]
    return spec


def variables_of(container: Object) -> set[str]:
    return {variable["name"] for variable in container["env"]}


@pytest.mark.parametrize("values", [FEWEST, EVERYTHING], ids=["fewest", "everything"])
@pytest.mark.parametrize("version", KUBERNETES)
def test_chart_renders_to_objects_that_kubernetes_takes(values: Object, version: str) -> None:
    for item in render(values):
        if item["kind"] not in CUSTOM_KINDS:
            kubernetes_validate.validate(item, version, strict=True)


def test_lint_has_nothing_to_say() -> None:
    report = helm.lint(CHART, EVERYTHING, strict=True)

    assert report["errors"] == []


@pytest.mark.parametrize(
    "values",
    [
        {},
        {**FEWEST, "database": {}},
        {**FEWEST, "database": {"url": "sqlite:///hardneg.sqlite3"}},
        {**FEWEST, "keys": {"apiKey": "short"}},
        {**FEWEST, "scaner": {"replicas": 2}},
        {**FEWEST, "worker": {"replica": 2}},
        {**FEWEST, "worker": {"replicas": -1}},
        {**FEWEST, "worker": {"resources": {"limits": {"memory": "8 GB"}}}},
        {**FEWEST, "scanner": {"autoscaling": {"maxReplicas": 0}}},
        {**FEWEST, "settings": {"HARDNEG_BACHT_SIZE": 8}},
        {**FEWEST, "settings": {"HARDNEG_PORT": 80}},
        {**FEWEST, "settings": {"HARDNEG_BATCH_SIZE": [8]}},
        {**FEWEST, "bucket": {"url": "https://bucket"}},
        {**FEWEST, "service": {"port": 70000}},
        {**FEWEST, "podDisruptionBudget": {"maxUnavailable": 0}},
    ],
    ids=str,
)
def test_values_that_are_not_meant_are_refused(values: Object) -> None:
    with pytest.raises(helm.HelmError, match="schema"):
        render(values)


def test_schema_knows_every_setting_as_the_code_does() -> None:
    schema = CHART_SCHEMA.read_text(encoding="utf-8")

    assert schema == renew_schema(schema), "write it again with `python -m docsite.settings_page`"


def test_number_of_a_setting_is_written_as_it_was_given() -> None:
    settings = of_kind("ConfigMap", render(EVERYTHING))["mine-settings"]["data"]

    assert settings["HARDNEG_MAX_CHECKPOINT_BYTES"] == "8589934592"
    assert settings["HARDNEG_DETECTION_FLOOR"] == "0.1"
    assert settings["HARDNEG_BLOB_URL"] == "s3://bucket/hardneg"


@pytest.mark.parametrize("values", [FEWEST, EVERYTHING], ids=["fewest", "everything"])
def test_every_pod_fits_the_restricted_standard_and_writes_to_its_volumes_alone(
    values: Object,
) -> None:
    deployments = of_kind("Deployment", render(values))

    for deployment in deployments.values():
        pod = pod_of(deployment)
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert {"/data", "/tmp"} <= set(mounted.values())
            assert set(mounted) <= {volume["name"] for volume in pod["volumes"]}
    assert len(deployments) == 3


def test_keys_reach_the_api_alone() -> None:
    deployments = of_kind("Deployment", render(FEWEST))
    with_key = [
        (name, container["name"])
        for name, deployment in deployments.items()
        for container in [
            *pod_of(deployment).get("initContainers", []),
            *pod_of(deployment)["containers"],
        ]
        if "HARDNEG_API_KEY" in variables_of(container)
    ]

    assert with_key == [("mine-api", "api")]


def test_pods_share_a_volume_without_a_bucket_and_nothing_with_one() -> None:
    alone, together = render(EVERYTHING), render(FEWEST)

    assert of_kind("PersistentVolumeClaim", alone) == {}
    assert list(of_kind("PersistentVolumeClaim", together)) == ["mine-data"]
    for objects, volume in (
        (alone, {"name": "data", "emptyDir": {}}),
        (together, {"name": "data", "persistentVolumeClaim": {"claimName": "mine-data"}}),
    ):
        for deployment in of_kind("Deployment", objects).values():
            assert volume in pod_of(deployment)["volumes"]


def test_every_selector_finds_the_pods_of_its_own_deployment_alone() -> None:
    objects = render(EVERYTHING)
    pods = {
        name: deployment["spec"]["template"]["metadata"]["labels"]
        for name, deployment in of_kind("Deployment", objects).items()
    }

    def found_by(selector: Mapping[str, str]) -> list[str]:
        return [name for name, labels in pods.items() if selector.items() <= labels.items()]

    assert found_by(of_kind("Service", objects)["mine"]["spec"]["selector"]) == ["mine-api"]
    for kind, key in (
        ("Deployment", "selector"),
        ("PodDisruptionBudget", "selector"),
        ("NetworkPolicy", "podSelector"),
    ):
        items = of_kind(kind, objects)
        assert set(items) == set(pods)
        for name, item in items.items():
            assert found_by(item["spec"][key]["matchLabels"]) == [name]


def test_probes_ask_for_paths_that_the_api_answers_under_any_name() -> None:
    (container,) = pod_of(of_kind("Deployment", render(FEWEST))["mine-api"])["containers"]

    probes = {name: probe["httpGet"] for name, probe in container.items() if "Probe" in name}

    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    for probe in probes.values():
        assert probe["httpHeaders"] == [{"name": "Host", "value": "127.0.0.1"}]


def test_keda_scales_the_scanners_by_what_the_database_says(
    database_url: str, tmp_path: Path
) -> None:
    jobs = Jobs(database_url, tmp_path)
    objects = render(EVERYTHING)
    (scaled,) = of_kind("ScaledObject", objects).values()
    scanner = of_kind("Deployment", objects)["mine-scanner"]
    (container,) = pod_of(scanner)["containers"]
    (trigger,) = scaled["spec"]["triggers"]
    query = text(trigger["metadata"]["query"])
    with jobs.sessions.begin() as session:
        before = session.scalar(query)
        add_job(session, kind="scan", lane=SCAN.lane, params={}, max_failures=1)

    with jobs.sessions.begin() as session:
        waiting = session.scalar(query)
    jobs.engine.dispose()

    assert (before, waiting) == (0, 1)
    assert "replicas" not in scanner["spec"]
    assert scaled["spec"]["scaleTargetRef"] == {"name": scanner["metadata"]["name"]}
    assert trigger["metadata"]["connectionFromEnv"] in variables_of(container)
    assert container["args"] == ["worker", "--lanes", SCAN.lane]


def test_version_of_the_chart_is_that_of_the_package() -> None:
    pyproject = (CHART.parent / "pyproject.toml").read_text(encoding="utf-8")
    with helm.Chart.load(CHART) as chart:
        version = chart.metadata["appVersion"]

    assert re.search(r'^version = "(.*)"$', pyproject, re.MULTILINE)[1] == version  # type: ignore[index]
