"""Sources of images, over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query

from hardneg.schemas.sources import SourcePage
from hardneg.schemas.text import PlainText
from service.roles import requires
from service.scoring.resources import ReadSessionDep
from service.sources import service

router = APIRouter(prefix="/sources", tags=["images"])


@router.get("")
@requires("read")
def list_sources(
    session: ReadSessionDep,
    after: Annotated[PlainText | None, Query(description="List sources after this name.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> SourcePage:
    """
    List the sources of images in order of their names, with their counts.

    All images are counted anew, so with millions of them this takes seconds.
    """
    return service.list_sources(session, after, limit)
