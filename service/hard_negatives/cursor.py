"""Where a page of the ranked list ended, as an opaque word in a URL."""

import base64
import binascii
import json
from dataclasses import astuple, dataclass
from http import HTTPStatus

from service.errors import ServiceError

MAX_INTEGER = 2**63 - 1


class InvalidCursor(ServiceError):
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "invalid-cursor"
    title = "Invalid cursor"

    def __init__(self) -> None:
        super().__init__("send the 'next_cursor' of an earlier page as it was, or none")


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of a page; the version, so that a swap between pages mixes no two lists."""

    version_id: int
    ranking_key: float
    image_id: int
    rank: int

    def encode(self) -> str:
        version_id, ranking_key, image_id, rank = astuple(self)
        text = json.dumps([version_id, ranking_key.hex(), image_id, rank])
        return base64.urlsafe_b64encode(text.encode()).decode()

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Raises InvalidCursor."""
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
