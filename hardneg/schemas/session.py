"""A browser's session, after it has signed in."""

from datetime import datetime

from pydantic import BaseModel, Field

from hardneg.schemas.keys import Role


class SessionOut(BaseModel):
    """The caller of a request, as the service knows it."""

    name: str = Field(description="Name of the key, or of the person.", examples=["ana"])
    role: Role
    expires_at: datetime | None = Field(description="End of the session; null without a cookie.")
    csrf_token: str | None = Field(
        description="Send it as `X-CSRF-Token` with each change; null without a cookie."
    )
