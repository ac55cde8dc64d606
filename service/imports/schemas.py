"""Import requests, the parameters of an import job, and its result."""

from pydantic import BaseModel, ConfigDict, Field

from hardneg.schemas.images import Split
from hardneg.schemas.text import PlainText

MAX_LISTED_REFUSALS = 1000


class ImportFields(BaseModel):
    """The fields that apply to every image of an import."""

    model_config = ConfigDict(extra="forbid")

    split: Split = Field(Split.POOL, description="The split that the images are stored in.")
    source: PlainText = Field("", description="Where the images come from.")


class ImportFromUri(ImportFields):
    """A folder or bucket prefix to import, within one of HARDNEG_IMPORT_ROOTS."""

    uri: PlainText = Field(min_length=1, examples=["s3://bucket/yard-camera/"])


class ImportParams(ImportFields):
    """The parameters of an import job: an uploaded archive or a place, never both."""

    uri: str | None = None
    upload_key: str | None = None  # a blob that jobs/leftovers.py deletes with the job
    file_name: str = ""


class Refusal(BaseModel):
    """A file that was refused, with the reason."""

    file_name: str
    reason: str


class Tally(BaseModel):
    """The counts of an import's files so far; in the end, its result."""

    seen: int = 0
    stored: int = 0
    known: int = 0
    num_refused: int = 0
    refused: list[Refusal] = Field(default_factory=list, max_length=MAX_LISTED_REFUSALS)

    def refuse(self, file_name: str, reason: str) -> None:
        """Count a refused file; the first thousand are listed."""
        self.num_refused += 1
        if len(self.refused) < MAX_LISTED_REFUSALS:
            self.refused.append(Refusal(file_name=file_name, reason=reason))
