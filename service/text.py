"""Text that clients send and databases store."""

MAX_FILE_NAME_LENGTH = 255


def plain_file_name(name: str | None) -> str:
    """Return the client's name for a file without unprintable characters, cut to 255."""
    kept = (name or "").encode("utf-8", "replace").decode("utf-8")
    return "".join(c for c in kept if c.isprintable())[:MAX_FILE_NAME_LENGTH]


def encodable(text: str) -> str:
    """Escape lone surrogates: JSON can hold them, but UTF-8 cannot encode them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
