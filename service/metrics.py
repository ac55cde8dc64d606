"""The metrics of a process, for Prometheus."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.settings import Settings


class Metrics:
    """
    The metrics that a process collects; each process has one object of this class.

    Labels have few values, whatever clients send: results, priorities, numbers of GPUs.

    Attributes:
        registry: all of them, with those that other code adds.
        lease_expiries: counted by the worker that takes over.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.batch_images = Histogram(
            "hardneg_batch_images",
            "Images in one forward pass",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=self.registry,
        )
        self.scored_images = Counter(
            "hardneg_scored_images", "Images scored, by result", ["result"], registry=self.registry
        )
        self.waiting_images = Gauge(
            "hardneg_waiting_images",
            "Images that wait for a forward pass, by priority",
            ["priority"],
            registry=self.registry,
        )
        self.lease_expiries = Counter(
            "hardneg_lease_expiries",
            "Leases of dead workers that this process took over, by what they were on",
            ["of"],
            registry=self.registry,
        )
        for result in ("scored", "failed"):  # from 0: the first failure then is an increase
            self.scored_images.labels(result)
        for of in ("job", "range"):
            self.lease_expiries.labels(of)
        self.registry.register(GpuMemory())
        ProcessCollector(registry=self.registry)


class GpuMemory(Collector):
    """The memory of each GPU that this process computes on; nothing before it does."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        used = GaugeMetricFamily(
            "hardneg_gpu_memory_used_bytes", "Memory in use by all processes", labels=["gpu"]
        )
        total = GaugeMetricFamily(
            "hardneg_gpu_memory_total_bytes", "Memory of the GPU", labels=["gpu"]
        )
        # A worker loads torch with its first job, and not for this.
        cuda = getattr(sys.modules.get("torch"), "cuda", None)
        if cuda is not None and cuda.is_initialized():
            for number in range(cuda.device_count()):
                if cuda.memory_reserved(number) > 0:  # asking for another would allocate memory
                    num_free, num_bytes = cuda.mem_get_info(number)
                    used.add_metric([str(number)], num_bytes - num_free)
                    total.add_metric([str(number)], num_bytes)
        yield used
        yield total


@contextmanager
def metrics_shown(settings: Settings, metrics: Metrics) -> Iterator[None]:
    """Answer on the metrics port of the settings, if it is set. Raises OSError if it is taken."""
    if settings.metrics_port is None:
        yield
        return
    server, thread = start_http_server(
        settings.metrics_port, settings.host, registry=metrics.registry
    )
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
