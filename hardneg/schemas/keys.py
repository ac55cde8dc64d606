"""API keys and the roles that they have."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints


class Role(StrEnum):
    """A set of permitted calls; each role includes those before it."""

    READ = "read"
    REVIEW = "review"
    WRITE = "write"
    TRAIN = "train"
    ADMIN = "admin"

    def includes(self, other: "Role") -> bool:
        """Return whether a key with this role may do what `other` permits."""
        roles = list(Role)
        return roles.index(self) >= roles.index(other)


KeyName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9 ._@-]*$", max_length=100),
    Field(description="Who or what uses the key; no two keys share a name.", examples=["ci"]),
]


class KeyRequest(BaseModel):
    """A key to create."""

    name: KeyName
    role: Role
    expires_at: AwareDatetime | None = Field(
        None, description="The moment from which the key is refused; never by default."
    )


class KeyOut(BaseModel):
    """A key as it is listed, without its text."""

    id: int
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewKey(KeyOut):
    """A key that was just created, with its text, which is never shown again."""

    key: str = Field(description="Send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`.")
