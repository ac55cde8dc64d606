"""File names of exported images: unique, stable, and possible on every system."""

import re
import unicodedata

MAX_STEM_LENGTH = 60
DIGEST_LENGTH = 16  # 64 bits: no two images of a service share them by chance

SUFFIXES = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/bmp": ".bmp",
    "image/tiff": ".tif",
    "image/gif": ".gif",
}


def exported_name(uploaded_as: str, sha256: str, media_type: str) -> str:
    """
    Return the file name of an image in every export, such as `dusk-9f86d081884c7d65.jpg`.

    It holds ASCII letters, digits and hyphens. The digest makes it unique even without its suffix
    and where case is ignored, and the same bytes have the same name in every export. The suffix is
    that of the bytes, not the one that the sender gave.
    """
    last = re.split(r"[/\\]", uploaded_as)[-1]
    stem = slug(last.rpartition(".")[0] or last)
    return f"{stem or 'image'}-{sha256[:DIGEST_LENGTH]}{SUFFIXES[media_type]}"


def slug(text: str) -> str:
    """Return text as ASCII letters, digits and single hyphens, cut to 60; perhaps empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-")[:MAX_STEM_LENGTH].strip("-")
