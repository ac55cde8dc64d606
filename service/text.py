"""Text that clients send and databases store."""

import re

MAX_FILE_NAME_LENGTH = 255

_FOLDERS = re.compile(r"(?<![\w.:/~-])/(?:[^\s/'\":,;]+/)+")


def plain_file_name(name: str | None) -> str:
    """Return the client's name for a file without unprintable characters, cut to 255."""
    kept = (name or "").encode("utf-8", "replace").decode("utf-8")
    return "".join(c for c in kept if c.isprintable())[:MAX_FILE_NAME_LENGTH]


def without_folders(text: str) -> str:
    """
    Return a text with only the last part of each absolute path, for clients on other machines.

    Addresses such as `s3://bucket/pool` stay as they are.
    """
    return _FOLDERS.sub("", text)


def encodable(text: str) -> str:
    """Escape lone surrogates: JSON can hold them, but UTF-8 cannot encode them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
