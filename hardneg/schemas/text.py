"""Text that clients send: short, and without control characters."""

from typing import Annotated

from pydantic import StringConstraints

# No control characters: Postgres refuses NUL in text, and no name needs one.
PlainText = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
