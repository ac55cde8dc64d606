"""SQL for what a version's last hold test says about the images of a page, past the ORM."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from service.holding.store import is_held
from service.tables import HoldDecision, HoldTest, Image


class HoldDecided(NamedTuple):
    """The decision on an image, and whether the image waits for a person's word."""

    image_id: int
    decision: float
    is_held: bool


class LastHoldTest(NamedTuple):
    """When a version's images were tested for true objects, and whether to trust the test."""

    tested_at: datetime
    is_trusted: bool
    reason: str


DECISIONS = (
    select(HoldDecision.image_id, HoldDecision.decision, is_held())
    .join(Image, Image.id == HoldDecision.image_id)
    .where(
        HoldDecision.model_version_id == bindparam("version_id"),
        HoldDecision.image_id.in_(bindparam("image_ids", expanding=True)),
    )
)
TEST = select(HoldTest.tested_at, HoldTest.is_trusted, HoldTest.reason).where(
    HoldTest.model_version_id == bindparam("version_id")
)


def decisions_on(session: Session, version_id: int, image_ids: Sequence[int]) -> list[HoldDecided]:
    """Return the decisions on those images that the version's last test was about."""
    values = {"version_id": version_id, "image_ids": image_ids}
    return [
        HoldDecided(image_id, decision, bool(held))
        for image_id, decision, held in session.connection().execute(DECISIONS, values)
    ]


def find_hold_test(session: Session, version_id: int) -> LastHoldTest | None:
    """Return the version's last test, None if there was none."""
    row = session.connection().execute(TEST, {"version_id": version_id}).one_or_none()
    return LastHoldTest(*row) if row else None
