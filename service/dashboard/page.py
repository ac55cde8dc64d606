"""A page of the dashboard: its place in the navigation, and how it is rendered."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from service.dashboard.assets import asset_url
from service.identity import current_identity

HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",  # a page shows the present state
}


@dataclass(frozen=True, slots=True)
class Page:
    """
    One entry of the navigation.

    Attributes:
        template: file in `templates/`.
        path: address on the service.
        title: name in the navigation, in the heading and in the browser's tab.
        group: heading under which the navigation lists it; empty for the first pages.
        key: letter that opens the page after `g`; empty for a page that others lead to.
        under: address of the page of the navigation that it belongs to, if it is not in there.
    """

    template: str
    path: str
    title: str
    key: str = ""
    group: str = ""
    under: str = ""


def render(page: Page, navigation: tuple[Page, ...], context: Mapping[str, object]) -> HTMLResponse:
    """Render a page's template; `page` and `navigation` are in its context, too."""
    return render_template(page.template, {"page": page, "navigation": navigation, **context})


def render_template(
    template: str, context: Mapping[str, object], status: int = 200
) -> HTMLResponse:
    """Render a template as an answer with the dashboard's headers."""
    html = _environment.get_template(template).render(context)
    return HTMLResponse(html, status, HEADERS)


def path_of(navigation: tuple[Page, ...], title: str) -> str | None:
    """Return the path of a page, for templates that link to it; None if there is no such page."""
    return next((page.path for page in navigation if page.title == title), None)


_environment = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals |= {"asset_url": asset_url, "path_of": path_of, "identity": current_identity}
