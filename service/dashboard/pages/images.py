"""The page on which images are added, and listed by source; its script calls the API."""

from service.dashboard.page import Page

PAGE = Page(
    template="images.html", path="/dashboard/images", title="Images", key="i", group="Manage"
)
