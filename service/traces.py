"""
Traces for OpenTelemetry: what an upload and a job spend their time on.

Nothing is traced, and the SDK is not loaded, unless HARDNEG_OTLP_ENDPOINT names a collector.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import INVALID_SPAN, Span, Tracer, TracerProvider
from opentelemetry.util.types import AttributeValue

from service.settings import Settings

NOT_TRACED = ("/healthz", "/readyz", "/metrics")
_UNTRACED = nullcontext(INVALID_SPAN)


class _TracedProcess:
    """The tracer of this process; None without a collector."""

    provider: TracerProvider | None = None
    tracer: Tracer | None = None


@contextmanager
def traces_sent(settings: Settings) -> Iterator[None]:
    """Send the spans of this process to the collector of the settings, if there is one."""
    if not settings.otlp_endpoint:
        yield
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider as SdkProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = SdkProvider(
        resource=Resource.create({"service.name": "hardneg"}), shutdown_on_exit=False
    )
    exporter = OTLPSpanExporter(endpoint=settings.otlp_endpoint.rstrip("/") + "/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _TracedProcess.provider, _TracedProcess.tracer = provider, provider.get_tracer("hardneg")
    try:
        yield
    finally:
        _TracedProcess.provider = _TracedProcess.tracer = None
        provider.shutdown()


def request_traces() -> TelemetryConfig:
    """Return what FastAPI needs to make a span of each request."""
    return {
        "tracing": _TracedProcess.provider is not None,
        "tracer_provider": _TracedProcess.provider,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
        "exclude": lambda scope: scope.get("path") in NOT_TRACED,
    }


def span(name: str, **attributes: AttributeValue) -> AbstractContextManager[Span]:
    """Trace what happens within the context; spans that begin in it are below this one."""
    if _TracedProcess.tracer is None:
        return _UNTRACED
    return _TracedProcess.tracer.start_as_current_span(name, attributes=attributes)


def record(name: str, since_ns: int, **attributes: AttributeValue) -> None:
    """Trace what began at `since_ns`, of `time.time_ns`, and has just ended."""
    if _TracedProcess.tracer is not None:
        _TracedProcess.tracer.start_span(name, start_time=since_ns, attributes=attributes).end()
