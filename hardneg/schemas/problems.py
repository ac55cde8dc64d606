"""Errors as clients see them: the problem details of RFC 9457."""

from pydantic import BaseModel, Field

MEDIA_TYPE = "application/problem+json"


class FieldError(BaseModel):
    """One field of the request that the service did not accept."""

    field: str = Field(examples=["query.n"])
    message: str = Field(examples=["Input should be less than or equal to 1000"])


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(examples=["/problems/unknown-model-version"])
    title: str = Field(examples=["Unknown model version"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["there is no model version 'v9'"])
    errors: list[FieldError] | None = Field(
        None, description="The fields that were not accepted, on 422."
    )
