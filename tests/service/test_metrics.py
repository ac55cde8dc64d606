"""Metrics of a process, and of one whose database is away."""

from collections.abc import Mapping
from threading import Event
from types import SimpleNamespace

import httpx
import pytest
import torch

from models.detectors.scoring import ScoringDetector
from service.db import open_engine, open_sessions
from service.jobs import store
from service.jobs.gauges import QueueGauges
from service.jobs.running import RunningJob
from service.metrics import GpuMemory, Metrics, metrics_shown
from service.scoring.engine import RESCAN, InferenceEngine, LoadedVersion
from service.settings import Settings
from service.worker.loop import Worker
from tests.databases import on_sqlite_only
from tests.models.conftest import build_small, draw_images
from tests.service.job_kinds import Jobs, kind_of
from tests.service.servers import free_port


def nothing(_: RunningJob) -> Mapping[str, object]:
    return {}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


@on_sqlite_only
def test_worker_counts_the_job_of_a_dead_one_and_no_other(jobs: Jobs) -> None:
    metrics = Metrics()
    kind = kind_of(nothing)
    worker = Worker(jobs.engine, jobs.blobs, jobs.settings, [kind], Event(), metrics=metrics)
    abandoned, fresh = jobs.enqueue(kind), jobs.enqueue(kind)
    with jobs.sessions.begin() as session:
        dead = store.claim(session, kind.lane, "dead", lease_s=0)
        assert dead is not None
        store.add_event(session, dead, "state", "started", {"status": "running"})

    assert worker.work_once(kind.lane)
    assert worker.work_once(kind.lane)

    assert [jobs.show(job_id).attempt for job_id in (abandoned, fresh)] == [2, 1]
    assert value(metrics, "hardneg_lease_expiries_total", of="job") == 1


@on_sqlite_only
def test_queues_are_counted_until_the_database_is_away(jobs: Jobs) -> None:
    metrics = Metrics()
    sessions = open_sessions(jobs.engine)
    gauges = QueueGauges(sessions, metrics.registry)
    kind = kind_of(nothing)
    jobs.enqueue(kind)

    gauges.count()
    waiting = value(metrics, "hardneg_jobs", kind="work", status="todo")
    jobs.run_once(kind)
    gauges.count()
    done = value(metrics, "hardneg_jobs", kind="work", status="todo")
    sessions.configure(bind=open_engine("sqlite:////nowhere/at/all.sqlite3"))
    gauges.count()

    assert (waiting, done) == (1, 0)
    assert value(metrics, "hardneg_jobs", kind="work", status="todo") is None


def test_images_count_as_waiting_until_a_batch_takes_them() -> None:
    detector: ScoringDetector = build_small("ssd_small").eval()
    images = [detector.preprocess(image) for image in draw_images([(60, 70), (60, 70)])]
    version = LoadedVersion(1, "v1", detector)
    without_threads, metrics = Metrics(), Metrics()

    for engine in (
        InferenceEngine(0, without_threads, num_threads=0),
        InferenceEngine(0, metrics),
    ):
        for image in images:
            engine.submit(version, image, priority=RESCAN)
        engine.close()

    assert value(without_threads, "hardneg_waiting_images", priority="rescan") == 2
    assert value(metrics, "hardneg_waiting_images", priority="rescan") == 0


def test_worker_shows_its_metrics_on_the_port_of_the_settings() -> None:
    settings = Settings(metrics_port=free_port())
    metrics = Metrics()
    metrics.lease_expiries.labels("job").inc()
    address = f"http://127.0.0.1:{settings.metrics_port}/metrics"

    with metrics_shown(settings, metrics):
        text = httpx.get(address).text

    assert 'hardneg_lease_expiries_total{of="job"} 1.0' in text
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)


def test_memory_is_shown_of_the_gpus_that_the_process_computes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No GPU is at hand, so torch's module for them is replaced."""
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: 2,
        memory_reserved=lambda number: [0, 1 << 20][number],
        mem_get_info=lambda number: (3 << 30, 8 << 30),
    )

    before = [metric.samples for metric in GpuMemory().collect()]
    monkeypatch.setattr(torch, "cuda", cuda)
    used, total = ([*metric.samples] for metric in GpuMemory().collect())

    assert before == [[], []]
    assert [(sample.labels["gpu"], sample.value) for sample in used] == [("1", 5 << 30)]
    assert [(sample.labels["gpu"], sample.value) for sample in total] == [("1", 8 << 30)]
