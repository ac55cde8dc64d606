"""The page of images that look like true objects; its script reads them from the API."""

from sqlalchemy.orm import Session

from service.dashboard.page import Page
from service.holding import store as hold_store
from service.labelled_images import store as labelled_store
from service.serving import store as serving_store

PAGE = Page(template="held.html", path="/dashboard/held", title="Held", key="d")


def show(session: Session) -> dict[str, object]:
    """Return what the page shows; `test` is None while the serving version was not tested."""
    serving = serving_store.serving_version(session)
    return {
        "serving": serving,
        "test": hold_store.find_test(session, serving.id) if serving else None,
        "counts": hold_store.count_tested(session, serving.id) if serving else None,
        "has_objects": bool(labelled_store.class_names_in(session, "train")),
    }
