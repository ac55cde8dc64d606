"""The gallery of the ranked list; its script reads the list from the API."""

from sqlalchemy.orm import Session

from service.dashboard.page import Page
from service.dashboard.pages import ranking

PAGE = Page(
    template="hard_negatives.html",
    path="/dashboard/hard-negatives",
    title="Hard negatives",
    key="h",
)


def show(session: Session) -> dict[str, object]:
    return ranking.show(session)
