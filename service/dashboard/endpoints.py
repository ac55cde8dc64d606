"""Pages over HTTP. A page is a module in `pages/` with a `PAGE` and a `show` function."""

from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Path, Query
from fastapi.responses import HTMLResponse, RedirectResponse

from hardneg.schemas.text import PlainText
from service.auth.guard import SIGN_IN_PATH
from service.dashboard.page import Page, render, render_template
from service.dashboard.pages import (
    compare,
    families,
    hard_negatives,
    held,
    images,
    jobs,
    look_alike_map,
    overview,
    retrain,
    review,
    version,
    versions,
)
from service.roles import open_to_all, requires
from service.scoring.resources import ReadSessionDep, ResourcesDep

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

MAX_ID = 2**63 - 1

# The pages of the navigation, in its order.
NAVIGATION: tuple[Page, ...] = (
    overview.PAGE,
    hard_negatives.PAGE,
    review.PAGE,
    held.PAGE,
    families.PAGE,
    look_alike_map.PAGE,
    retrain.PAGE,
    versions.PAGE,
    images.PAGE,
    jobs.PAGE,
)


@router.get(overview.PAGE.path)
@requires("read")
def show_overview(session: ReadSessionDep) -> HTMLResponse:
    return render(overview.PAGE, NAVIGATION, overview.show(session))


@router.get(hard_negatives.PAGE.path)
@requires("read")
def show_hard_negatives(session: ReadSessionDep) -> HTMLResponse:
    return render(hard_negatives.PAGE, NAVIGATION, hard_negatives.show(session))


@router.get(review.PAGE.path)
@requires("read")
def show_review(session: ReadSessionDep) -> HTMLResponse:
    return render(review.PAGE, NAVIGATION, review.show(session))


@router.get(held.PAGE.path)
@requires("read")
def show_held(session: ReadSessionDep) -> HTMLResponse:
    return render(held.PAGE, NAVIGATION, held.show(session))


@router.get(families.PAGE.path)
@requires("read")
def show_families(session: ReadSessionDep) -> HTMLResponse:
    return render(families.PAGE, NAVIGATION, families.show(session))


@router.get(look_alike_map.PAGE.path)
@requires("read")
def show_map(session: ReadSessionDep) -> HTMLResponse:
    return render(look_alike_map.PAGE, NAVIGATION, look_alike_map.show(session))


@router.get(images.PAGE.path)
@requires("read")
def show_images() -> HTMLResponse:
    return render(images.PAGE, NAVIGATION, {})


@router.get(jobs.PAGE.path)
@requires("read")
def show_jobs() -> HTMLResponse:
    return render(jobs.PAGE, NAVIGATION, {})


@router.get(retrain.PAGE.path)
@requires("read")
def show_retrain(
    session: ReadSessionDep, job: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None
) -> HTMLResponse:
    return render(retrain.PAGE, NAVIGATION, retrain.show(session, job))


@router.get(versions.PAGE.path)
@requires("read")
def show_versions(session: ReadSessionDep) -> HTMLResponse:
    return render(versions.PAGE, NAVIGATION, versions.show(session))


@router.get(version.PAGE.path)
@requires("read")
def show_version(
    session: ReadSessionDep, key: Annotated[PlainText, Path(alias="version", min_length=1)]
) -> HTMLResponse:
    context = version.show(session, key)
    if context is None:
        return show_unknown_page(f"versions/{key}")
    return render(version.PAGE, NAVIGATION, context)


@router.get(compare.PAGE.path)
@requires("read")
def show_comparison(
    session: ReadSessionDep,
    before: Annotated[PlainText | None, Query()] = None,
    model_version: Annotated[PlainText | None, Query()] = None,
) -> HTMLResponse:
    return render(compare.PAGE, NAVIGATION, compare.show(session, before, model_version))


@router.get(SIGN_IN_PATH)
@open_to_all
def show_sign_in(
    resources: ResourcesDep,
    next_path: Annotated[str, Query(alias="next", pattern=r"^/[A-Za-z0-9/_-]*$")] = "/",
    refused: Annotated[str, Query(max_length=100)] = "",
) -> HTMLResponse:
    """Ask a person for a key, or lead them to the identity provider."""
    issuer = urlsplit(resources.settings.oidc_issuer).hostname
    context = {"next_path": next_path, "refused": refused, "identity_provider": issuer}
    return render_template("sign_in.html", context)


@router.get("/dashboard")
@requires("read")
def redirect_to_overview() -> RedirectResponse:
    return RedirectResponse("/")


@router.get("/dashboard/{path:path}")
@requires("read")
def show_unknown_page(path: str) -> HTMLResponse:
    """Answer for the addresses under the dashboard's that no page has; keep it the last route."""
    context = {"page": None, "navigation": NAVIGATION, "path": path}
    return render_template("unknown.html", context, HTTPStatus.NOT_FOUND)
