"""Group commit: writes share a transaction, and each gets its own result or error."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import TypeVar

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import event, select, text
from sqlalchemy.orm import Session

from service.db import open_engine, open_sessions
from service.group_commit import GroupCommit
from service.images import store
from service.settings import Settings
from service.tables import Image


def _add(name: str) -> Callable[[Session], str]:
    def write(session: Session) -> str:
        row: dict[str, object] = {
            "sha256": name.rjust(64, "0"),
            "blob_key": name,
            "split": "pool",
            "source": "",
            "file_name": name,
            "media_type": "image/png",
            "size_bytes": 1,
            "width": 1,
            "height": 1,
        }
        (image,) = store.add_or_find_images(session, {str(row["sha256"]): row}).values()
        return image.blob_key

    return write


T = TypeVar("T")


class Refused(Exception):
    pass


def _refuse(session: Session) -> str:
    _add("refused")(session)
    raise Refused


@pytest.fixture
def group(client: TestClient, settings: Settings) -> Iterator["Group"]:
    assert isinstance(client.app, FastAPI)  # the app has made the tables
    group = Group(settings)
    yield group
    group.engine.dispose()


class Group:
    """A group commit that counts commits, and can make writes share one."""

    def __init__(self, settings: Settings) -> None:
        self.engine = open_engine(settings.sqlalchemy_url)
        self.num_commits = 0
        event.listen(self.engine, "commit", self._count)
        self.sessions = open_sessions(self.engine)
        self.commit = GroupCommit(self.sessions)

    def _count(self, _: object) -> None:
        self.num_commits += 1

    def run_together(
        self, works: list[Callable[[Session], str]], not_durable: Collection[int] = ()
    ) -> list[str | None]:
        def run(number: int, work: Callable[[Session], str]) -> str | None:
            try:
                return self.commit.run(work, durable=number not in not_durable)
            except Refused:
                return None

        return self.call_together([partial(run, *numbered) for numbered in enumerate(works)])

    def call_together(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """Run calls that write; the first write of each shares one transaction."""
        begun, go_on = Event(), Event()

        def hold(_: Session) -> None:
            begun.set()
            go_on.wait()

        with ThreadPoolExecutor(1 + len(calls)) as pool:
            pool.submit(self.commit.run, hold)
            begun.wait()
            results = [pool.submit(call) for call in calls]
            while self.commit.num_waiting < len(calls):
                time.sleep(0.001)
            go_on.set()
            return [result.result() for result in results]

    def names(self) -> set[str]:
        with self.sessions.begin() as session:
            return set(session.scalars(select(Image.file_name)))


def test_writes_that_wait_share_one_transaction(group: Group) -> None:
    names = [f"image-{number}" for number in range(5)]

    results = group.run_together([_add(name) for name in names])

    assert results == names
    assert group.names() == set(names)
    assert group.num_commits == 2  # one of the write that held them up, and one of theirs


def test_failed_write_does_not_undo_the_others(group: Group) -> None:
    results = group.run_together([_add("before"), _refuse, _add("after")])

    assert results == ["before", None, "after"]
    assert group.names() == {"before", "after"}


def test_committed_writes_return_before_the_next_transaction_ends(group: Group) -> None:
    returned: list[int] = []

    def write_twice(number: int) -> int:
        group.commit.run(_add(f"first-{number}"))
        returned.append(number)
        return group.commit.run(count_returned)

    def count_returned(_: Session) -> int:
        """Count the first writes that have returned; all are committed."""
        deadline = time.monotonic() + 3
        while len(returned) < 8 and time.monotonic() < deadline:
            time.sleep(0.001)
        return len(returned)

    counts = group.call_together([partial(write_twice, number) for number in range(8)])

    assert counts == [8] * 8


def test_group_waits_for_the_disk_if_one_of_its_writes_is_durable(group: Group) -> None:
    if group.engine.dialect.name == "sqlite":
        pytest.skip("SQLite waits for the disk at every commit")

    def waits(session: Session) -> str:
        return str(session.execute(text("SHOW synchronous_commit")).scalar_one())

    assert group.run_together([waits, waits], not_durable=(0, 1)) == ["off", "off"]
    assert group.run_together([waits, waits], not_durable=(0,)) == ["on", "on"]
    assert group.run_together([waits, waits]) == ["on", "on"]
