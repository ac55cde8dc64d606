"""The spans of uploads and jobs, as a collector gets them."""

from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from service import traces
from service.app import create_app
from service.jobs.running import RunningJob
from service.settings import Settings
from tests.databases import on_sqlite_only
from tests.scenes import scene_bytes
from tests.service.clients import local_client
from tests.service.job_kinds import Jobs, kind_of


class Collector:
    """A server that takes OTLP over HTTP and keeps the spans."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.service_names: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/traces":
                    collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, args=[0.05])
        self._thread.start()

    def take(self, request: ExportTraceServiceRequest) -> None:
        for of_process in request.resource_spans:
            attributes = {pair.key: pair.value for pair in of_process.resource.attributes}
            self.service_names.add(attributes["service.name"].string_value)
            for scope in of_process.scope_spans:
                self.spans.extend(scope.spans)

    def named(self, name: str) -> Span:
        (span,) = [span for span in self.spans if span.name == name]
        return span

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@on_sqlite_only
def test_upload_is_traced_from_the_request_to_the_write(
    collector: Collector, settings: Settings, checkpoint: Path
) -> None:
    settings = settings.model_copy(update={"otlp_endpoint": collector.address})
    with traces.traces_sent(settings), local_client(create_app(settings)) as client:
        with checkpoint.open("rb") as file:
            added = client.post("/model-versions", files={"checkpoint": file}, data={"name": "v1"})
        added.raise_for_status()
        client.post("/model-versions/v1/activate").raise_for_status()
        client.get("/readyz").raise_for_status()
        client.post("/images", files={"files": scene_bytes(1)}).raise_for_status()

    upload = collector.named("POST /images")
    stages = [collector.named(name) for name in ("decode", "store", "forward", "write")]
    assert {stage.trace_id for stage in stages} == {upload.trace_id}
    assert {stage.parent_span_id for stage in stages} == {upload.span_id}
    for stage in stages:
        assert upload.start_time_unix_nano <= stage.start_time_unix_nano
        assert stage.start_time_unix_nano <= stage.end_time_unix_nano
        assert [(pair.key, pair.value.int_value) for pair in stage.attributes] == [("images", 1)]
    assert "GET /readyz" not in {span.name for span in collector.spans}
    assert collector.service_names == {"hardneg"}


@on_sqlite_only
def test_job_is_traced_with_what_it_does(collector: Collector, jobs: Jobs) -> None:
    def work(_: RunningJob) -> Mapping[str, object]:
        with traces.span("step"):
            return {}

    job_id = jobs.enqueue(kind_of(work))
    settings = jobs.settings.model_copy(update={"otlp_endpoint": collector.address})

    with traces.traces_sent(settings):
        jobs.run_once(kind_of(work))

    job, step = collector.named("job work"), collector.named("step")
    assert {pair.key: pair.value.int_value for pair in job.attributes} == {
        "job": job_id,
        "attempt": 1,
    }
    assert step.parent_span_id == job.span_id
    assert job.parent_span_id == b""


def test_nothing_is_recorded_without_a_collector() -> None:
    with traces.traces_sent(Settings()), traces.span("upload", images=1) as span:
        assert not span.is_recording()

    assert traces.request_traces()["tracing"] is False
