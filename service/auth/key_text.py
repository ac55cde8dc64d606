"""The text of an API key: a public id to look it up by, and 256 random bits."""

import secrets
from hashlib import sha256
from hmac import compare_digest
from typing import NamedTuple

PREFIX = "hn"  # lets scanners for leaked secrets find our keys
PUBLIC_ID_BYTES = 6
SECRET_BYTES = 32


class KeyText(NamedTuple):
    public_id: str
    text: str

    @property
    def digest(self) -> str:
        """The stored form. A plain hash is enough: nobody can try 2^256 keys."""
        return digest_of(self.text)


def new_key_text() -> KeyText:
    public_id = secrets.token_hex(PUBLIC_ID_BYTES)
    return KeyText(public_id, f"{PREFIX}_{public_id}_{secrets.token_urlsafe(SECRET_BYTES)}")


def parse_key_text(text: str) -> KeyText | None:
    """Return the parts of a key in our form; None for other text."""
    parts = text.split("_", 2)
    if len(parts) != 3 or parts[0] != PREFIX or len(parts[1]) != 2 * PUBLIC_ID_BYTES:
        return None
    return KeyText(parts[1], text)


def digest_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def is_digest_of(digest: str, text: str) -> bool:
    """Compare in a time that does not depend on how much of the text is right."""
    return compare_digest(digest, digest_of(text))
