"""Text that clients send."""

from typing import Annotated

from pydantic import StringConstraints

# No control characters: Postgres refuses NUL in text, and none of them belongs in a name.
PlainText = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
