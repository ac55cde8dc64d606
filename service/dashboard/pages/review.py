"""The page on which a person judges the ranked list, image by image; its script calls the API."""

from sqlalchemy.orm import Session

from service.dashboard.page import Page
from service.dashboard.pages import ranking

PAGE = Page(template="review.html", path="/dashboard/review", title="Review", key="r")


def show(session: Session) -> dict[str, object]:
    return ranking.show(session)
