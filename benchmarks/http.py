"""
Requests a second of the ranked list over HTTP, against an endpoint as it is usually written.

Both sides read the same SQLite file of 10,000 scores and answer with the same bytes. One is `GET
/hard-negatives?n=10` of this service, with all of its middleware (log, metrics, errors); the other
is a bare FastAPI app with a `def` endpoint, SQLAlchemy's ORM and a response model.

    python -m benchmarks.http
"""

import argparse
import asyncio
import os
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI
from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks.score_databases import score_database
from hardneg.schemas.hard_negatives import Coverage, HardNegative, HardNegativePage
from hardneg.schemas.images import Box, DetectionOut
from service.app import create_app
from service.db import open_engine, open_sessions, read_only
from service.hard_negatives.cursor import Cursor
from service.images import views
from service.images.store import is_negative
from service.logs import set_up_logs
from service.scoring.store import count_images, count_scored, detections_of
from service.serving.store import serving_version
from service.settings import Settings
from service.tables import Detection, Image, ImageScore, ModelVersion

NUM_SCORES = 10_000
START_S = 120.0
REQUEST = b"GET /hard-negatives?n=10 HTTP/1.1\r\nHost: localhost\r\n\r\n"


def usual_app(database_url: str) -> FastAPI:
    """Return an app with the list as it is usually written."""
    app = FastAPI()
    sessions = open_sessions(read_only(open_engine(database_url)))

    def get_session() -> Iterator[Session]:
        with sessions.begin() as session:
            yield session

    @app.get("/hard-negatives")
    def list_hard_negatives(
        session: Annotated[Session, Depends(get_session)], n: int = 10
    ) -> HardNegativePage:
        return usual_page(session, n)

    return app


def usual_page(session: Session, n: int) -> HardNegativePage:
    version = serving_version(session)
    assert version is not None
    rows = session.execute(
        select(ImageScore, Image)
        .join(Image, Image.id == ImageScore.image_id)
        .where(
            ImageScore.model_version_id == version.id,
            ImageScore.split == "pool",
            ImageScore.ranking_key.is_not(None),
            is_negative(),
        )
        .order_by(ImageScore.ranking_key, ImageScore.image_id)
        .limit(n + 1)
    ).all()
    found = detections_of(session, version.id, [image.id for _, image in rows[:n]])
    items = []
    for rank, (score, image) in enumerate(rows[:n], 1):
        items.append(
            HardNegative(
                rank=rank,
                max_score=score.max_score,
                log_odds=score.log_odds,
                detections=[detection_out(version, row) for row in found[image.id]],
                image=views.image_out(image),
            )
        )
    last = rows[n - 1][0]
    assert last.ranking_key is not None
    return HardNegativePage(
        model_version=version.name,
        pool=Coverage(
            images=count_images(session, "pool"), scored=count_scored(session, version.id, "pool")
        ),
        items=items,
        next_cursor=Cursor(version.id, last.ranking_key, last.image_id, n).encode(),
    )


def detection_out(version: ModelVersion, row: Detection) -> DetectionOut:
    box = Box(x1=row.x1, y1=row.y1, x2=row.x2, y2=row.y2)
    return DetectionOut(label=version.class_names[row.label - 1], score=row.score, box=box)


def _serve_ours(database_url: str, folder: str, port: int) -> None:
    settings = Settings(
        data_dir=Path(folder), database_url=database_url, device="cpu", embedded_worker=False
    )
    _serve(create_app(settings), port)


def _serve_usual(database_url: str, _: str, port: int) -> None:
    _serve(usual_app(database_url), port)


def _serve(app: FastAPI, port: int) -> None:
    with Path(os.devnull).open("w") as unread:  # writing a line per request is measured, too
        with redirect_stderr(unread):
            set_up_logs("info", "json")
        uvicorn.run(app, port=port, log_config=None, access_log=False, server_header=False)


@contextmanager
def server(
    serve: Callable[[str, str, int], None], database_url: str, folder: str
) -> Iterator[tuple[int, int]]:
    """Yield the port and the process id of a server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    process = get_context("spawn").Process(target=serve, args=(database_url, folder, port))
    process.start()
    try:
        asyncio.run(_wait_until_it_answers(port))
        assert process.pid is not None
        yield port, process.pid
    finally:
        process.terminate()
        process.join()


async def _wait_until_it_answers(port: int) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


def cpu_seconds(process_id: int) -> float:
    """Return the processor time of a process, which hardly depends on what else runs."""
    fields = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(port: int, connections: int, seconds: float) -> tuple[float, list[float]]:
    """
    Return requests a second, and their latencies in seconds.

    Each connection has one request under way at a time.
    """
    latencies: list[float] = []
    ends = time.perf_counter() + seconds

    async def send_requests() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < ends:
            begun = time.perf_counter()
            await ask(reader, writer)
            latencies.append(time.perf_counter() - begun)
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(send_requests() for _ in range(connections)))
    return len(latencies) / (time.perf_counter() - begun), latencies


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Send the request and return the answer's body. Raises ValueError unless it is 200."""
    writer.write(REQUEST)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise ValueError(head.decode())
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    return await reader.readexactly(length)


async def _one_body(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = await ask(reader, writer)
    writer.close()
    return body


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each side in each round")
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args(arguments)
    with score_database("sqlite", NUM_SCORES) as engine, TemporaryDirectory() as folder:
        url = engine.url.render_as_string()
        with server(_serve_usual, url, folder) as usual, server(_serve_ours, url, folder) as ours:
            same = asyncio.run(_one_body(ours[0])) == asyncio.run(_one_body(usual[0]))
            print(f"the same bytes: {same}; {options.connections} connections")
            rounds = [
                [measure(port, process_id, options) for port, process_id in (usual, ours)]
                for _ in range(options.rounds + 1)
            ][1:]  # the first one warms up
    for number, name in enumerate(("usual", "ours")):
        rate, p50, p99, cpu = (
            statistics.median(values)
            for values in zip(*(turn[number] for turn in rounds), strict=True)
        )
        print(
            f"{name:6} {rate:7,.0f} requests/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms, "
            f"{cpu:.3f} ms of processor each"
        )
    for name, place, is_inverse in (("requests/s", 0, False), ("processor time", 3, True)):
        ratios = sorted(
            usual[place] / ours[place] if is_inverse else ours[place] / usual[place]
            for usual, ours in rounds
        )
        print(
            f"ours is better by {statistics.median(ratios):.2f} in {name} "
            f"({ratios[0]:.2f}-{ratios[-1]:.2f}, {len(ratios)} rounds)"
        )


def measure(
    port: int, process_id: int, options: argparse.Namespace
) -> tuple[float, float, float, float]:
    """Return requests/s, p50 and p99 in ms, and the server's processor time a request in ms."""
    before = cpu_seconds(process_id)
    rate, latencies = asyncio.run(load(port, options.connections, options.seconds))
    used = (cpu_seconds(process_id) - before) / len(latencies)
    p50, p99 = (statistics.quantiles(latencies, n=100)[k] * 1000 for k in (49, 98))
    return rate, p50, p99, used * 1000


if __name__ == "__main__":
    main()
