"""Scans as clients ask for them."""

from pydantic import BaseModel, ConfigDict, Field

from hardneg.schemas.text import PlainText


class ScanRequest(BaseModel):
    """A request to score all stored images with a version."""

    model_config = ConfigDict(extra="forbid")

    model_version: PlainText | None = Field(
        None,
        min_length=1,
        description="Id or name; the serving version by default.",
        examples=["v1"],
    )
