"""The resources that all requests and background threads of a process share."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Request
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile

from service.blobs import BlobStore
from service.db import Sessions, open_engine, open_sessions, read_only
from service.group_commit import GroupCommit
from service.metrics import Metrics
from service.pixel_cache import PixelCache
from service.scoring.scorer import Scorer
from service.scoring.turns import Turns
from service.settings import Settings
from service.thumbnails import ThumbnailStore

MIN_LIST_READERS = 2


def _list_readers() -> CapacityLimiter:
    return CapacityLimiter(max(MIN_LIST_READERS, os.cpu_count() or 1))


@dataclass(frozen=True, slots=True)
class Resources:
    """
    The database, the blobs, the scorer and the settings, made once where the process starts.

    Attributes:
        sessions: for transactions that may write; on SQLite each takes the write lock first.
        read_sessions: for transactions that only read.
        list_readers: bounds the threads that read the ranked list. On SQLite a page is a quarter of
            a millisecond of SQL, and more threads than cores only hand the GIL to each other.
        group_commit: for many small writes; threads that write at once share a transaction.
        stopping: set when the process has to stop.
        turns: for requests that hold images in memory.
    """

    settings: Settings
    engine: Engine
    sessions: Sessions
    read_sessions: Sessions
    group_commit: GroupCommit
    blobs: BlobStore
    thumbnails: ThumbnailStore
    pixels: PixelCache
    scorer: Scorer
    stopping: Event
    turns: Turns
    list_readers: CapacityLimiter = field(default_factory=_list_readers)


def open_thumbnails(settings: Settings) -> ThumbnailStore:
    return ThumbnailStore(settings.data_dir / "thumbnails", settings.max_thumbnail_bytes)


def open_pixel_cache(settings: Settings) -> PixelCache:
    return PixelCache(settings.data_dir / "pixels", int(settings.pixel_cache_gb * 1e9))


@contextmanager
def open_resources(settings: Settings, metrics: Metrics, stopping: Event) -> Iterator[Resources]:
    """Open everything, and close it at the end. Raises ValueError for a device that is absent."""
    timeout_s = settings.database_timeout_s
    engine = open_engine(
        settings.sqlalchemy_url, lock_timeout_s=timeout_s, statement_timeout_s=6 * timeout_s
    )
    sessions = open_sessions(engine)
    scorer = Scorer(settings, metrics)
    try:
        yield Resources(
            settings=settings,
            engine=engine,
            sessions=sessions,
            read_sessions=open_sessions(read_only(engine)),
            group_commit=GroupCommit(sessions),
            blobs=BlobStore(settings.blob_store_url, settings.min_free_bytes),
            thumbnails=open_thumbnails(settings),
            pixels=open_pixel_cache(settings),
            scorer=scorer,
            stopping=stopping,
            turns=Turns(settings.memory_budget),
        )
    finally:
        scorer.close()
        engine.dispose()


async def get_resources(request: Request) -> Resources:
    resources: Resources = request.app.state.resources
    return resources


ResourcesDep = Annotated[Resources, Depends(get_resources)]


async def take_turn(request: Request, resources: ResourcesDep) -> AsyncIterator[None]:
    """Run the request in its turn, which counts the bytes of its files. Raises TooBusy."""
    num_bytes = 0
    if request.method != "GET":
        form = await request.form()  # parsed already: the files lie on disk
        num_bytes = sum(
            part.size or 0 for _, part in form.multi_items() if isinstance(part, UploadFile)
        )
    async with resources.turns.take(num_bytes):
        yield


# For routes that hold images in memory and work on them in a thread
IN_TURN = [Depends(take_turn, scope="function")]


def get_session(resources: ResourcesDep) -> Iterator[Session]:
    with resources.sessions.begin() as session:
        yield session


def get_read_session(resources: ResourcesDep) -> Iterator[Session]:
    with resources.read_sessions.begin() as session:
        yield session


# "function": the transaction ends before the response is sent, so a failed commit is never a 200.
SessionDep = Annotated[Session, Depends(get_session, scope="function")]
ReadSessionDep = Annotated[Session, Depends(get_read_session, scope="function")]
