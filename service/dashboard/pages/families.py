"""The page of families of look-alikes; its script reads them from the API."""

from sqlalchemy.orm import Session

from service.dashboard.page import Page
from service.families import store as family_store
from service.scoring import store as score_store
from service.serving import store as serving_store

PAGE = Page(template="families.html", path="/dashboard/families", title="Families", key="f")


def show(session: Session) -> dict[str, object]:
    """Return what the page shows; `grouping` is None while the serving version has none."""
    serving = serving_store.serving_version(session)
    return {
        "serving": serving,
        "grouping": family_store.find_grouping(session, serving.id) if serving else None,
        "num_pool": score_store.count_images(session, "pool"),
    }
