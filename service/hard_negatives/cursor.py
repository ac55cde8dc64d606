"""The place where a page of the ranked list ended, as an opaque word in a URL."""

import base64
import binascii
import json
from dataclasses import astuple, dataclass
from http import HTTPStatus

from service.errors import ServiceError

MAX_INTEGER = 2**63 - 1


class InvalidCursor(ServiceError):
    """A cursor does not come from this service, or from a list of another version."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "invalid-cursor"
    title = "Invalid cursor"

    def __init__(self) -> None:
        super().__init__(
            "the cursor is not valid here: send the 'next_cursor' of the page before as it was, "
            "or none"
        )


@dataclass(frozen=True, slots=True)
class Cursor:
    """
    The last row of a page, and the version that ranked it.

    The next page is of the same version, even if another one serves by then.
    """

    version_id: int
    ranking_key: float
    image_id: int
    rank: int

    def encode(self) -> str:
        """Return the cursor as text that `decode` reads."""
        version_id, ranking_key, image_id, rank = astuple(self)
        text = json.dumps([version_id, ranking_key.hex(), image_id, rank])
        return base64.urlsafe_b64encode(text.encode()).decode()

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Return the cursor that `encode` wrote. Raises InvalidCursor."""
        try:
            version_id, key, image_id, rank = json.loads(base64.urlsafe_b64decode(text))
            cursor = cls(version_id, float.fromhex(key), image_id, rank)
        except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as error:
            raise InvalidCursor from error
        numbers = (cursor.version_id, cursor.image_id, cursor.rank)
        if not all(type(n) is int and 0 < n <= MAX_INTEGER for n in numbers):
            raise InvalidCursor
        if cursor.ranking_key != cursor.ranking_key:
            raise InvalidCursor
        return cursor
