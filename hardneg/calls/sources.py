"""Sources of images."""

from collections.abc import Iterator

from hardneg.schemas.sources import SourceOut, SourcePage
from hardneg.transport import Connection, iterate_pages, read_answer


class SourceCalls(Connection):
    """Calls of `/sources`."""

    def sources(self, *, after: str | None = None, limit: int = 100) -> SourcePage:
        """
        Return one page of the sources of images, in order of their names.

        Args:
            after: list the sources after this name.
            limit: size of the page, 1 to 1000.
        """
        return read_answer(SourcePage, self._get("/sources", {"after": after, "limit": limit}))

    def iter_sources(self) -> Iterator[SourceOut]:
        """Yield all sources in order of their names, page by page."""
        for page in iterate_pages(
            lambda after: self.sources(after=after, limit=1000), lambda page: page.next_after
        ):
            yield from page.items
