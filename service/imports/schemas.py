"""What clients send for imports, and what an import comes to."""

from pydantic import BaseModel, ConfigDict, Field

from hardneg.schemas.images import Split
from hardneg.schemas.text import PlainText

MAX_LISTED_REFUSALS = 1000


class ImportFields(BaseModel):
    """What holds for every image of an import."""

    model_config = ConfigDict(extra="forbid")

    split: Split = Field(Split.POOL, description="What the images are for.")
    source: PlainText = Field("", description="Where they come from.")


class ImportFromUri(ImportFields):
    """A folder or bucket prefix inside of what HARDNEG_IMPORT_ROOTS allows."""

    uri: PlainText = Field(min_length=1, examples=["s3://bucket/yard-camera/"])


class ImportParams(ImportFields):
    """The work of one import job: an uploaded archive, or a place."""

    uri: str | None = None
    upload_key: str | None = None
    file_name: str = ""


class Refusal(BaseModel):
    """One file that was not taken, and why."""

    file_name: str
    reason: str


class Tally(BaseModel):
    """How far an import is; also its result."""

    seen: int = 0
    stored: int = 0
    known: int = 0
    num_refused: int = 0
    refused: list[Refusal] = Field(default_factory=list, max_length=MAX_LISTED_REFUSALS)

    def refuse(self, file_name: str, reason: str) -> None:
        """Count a file that was not taken; the first thousand are listed."""
        self.num_refused += 1
        if len(self.refused) < MAX_LISTED_REFUSALS:
            self.refused.append(Refusal(file_name=file_name, reason=reason))
