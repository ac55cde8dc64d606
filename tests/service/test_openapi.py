import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.scenes import scene_bytes
from tests.service.servers import free_port, running_server

KEY = "a-key-of-some-length"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


def test_every_call_is_described(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    calls = [call for path in document["paths"].values() for call in path.values()]

    assert calls
    assert [call["operationId"] for call in calls if not call.get("description")] == []
    assert client.get("/docs").status_code == 200


def test_problems_are_described_as_problems(client: TestClient) -> None:
    document = client.get("/openapi.json").json()

    for path in document["paths"].values():
        for call in path.values():
            for status, response in call["responses"].items():
                if status.startswith(("4", "5")):
                    assert list(response["content"]) == ["application/problem+json"]


@pytest.mark.slow
def test_no_generated_request_breaks_the_contract(
    database_url: str, tmp_path: Path, checkpoint: Path
) -> None:
    port = free_port()
    # With this key: those that the requests create would close an open service to the rest of them.
    with running_server(database_url, tmp_path, port, api_key=KEY) as (_, client):
        with checkpoint.open("rb") as file:
            client.post("/model-versions", files={"checkpoint": file}).raise_for_status()
        client.post("/model-versions/v1/activate").raise_for_status()
        client.post("/images", files={"files": scene_bytes(1)}).raise_for_status()

        command = [
            *(str(Path(sys.executable).with_name("schemathesis")), "run"),
            f"http://127.0.0.1:{port}/openapi.json",
            *("-H", f"X-API-Key: {KEY}"),
            *("--max-time", "20", "--checks", ",".join(CHECKS), "--request-timeout", "30"),
        ]
        result = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
        )

    assert result.returncode == 0, result.stdout[-10_000:]
