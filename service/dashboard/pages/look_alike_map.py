"""The map of look-alikes; its script reads the points from the API."""

from sqlalchemy.orm import Session

from service.dashboard.page import Page
from service.dashboard.pages import families

PAGE = Page(template="map.html", path="/dashboard/map", title="Map", key="m")


def show(session: Session) -> dict[str, object]:
    return families.show(session)
