"""Text that clients send and databases keep."""

MAX_FILE_NAME_LENGTH = 255


def plain_file_name(name: str | None) -> str:
    """The client's name for a file, without what could not be stored or shown."""
    kept = (name or "").encode("utf-8", "replace").decode("utf-8")
    return "".join(c for c in kept if c.isprintable())[:MAX_FILE_NAME_LENGTH]


def encodable(text: str) -> str:
    """With halves of letters, which JSON can hold and an answer cannot, as their escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
