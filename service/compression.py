"""
The compression of long answers.

Pages are left as they are: they hold the token against forged requests beside text of their
address, and how well these compress together would tell the token (BREACH). They have a few
kilobytes. Lists and the dashboard's files hold no secret.
"""

from fastapi import FastAPI
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.types import ASGIApp

# A list of ten images has less: programs on the same machine ask for it again and again, and
# compressing it would cost them a fifth of the processor time of the request.
MIN_LIST_BYTES = 16 * 1024
LIST_LEVEL = 1  # a level of 6 takes three times as long for a tenth fewer bytes
MIN_FILE_BYTES = 512
FILE_LEVEL = 9  # browsers fetch a file once
LEFT_AS_THEY_ARE = (
    *DEFAULT_EXCLUDED_CONTENT_TYPES,
    "text/html",
    "image/*",
    "application/octet-stream",
)


def compress_lists(app: FastAPI) -> None:
    """Compress long answers of the API, and neither pages, images, downloads nor events."""
    app.add_middleware(
        GZipMiddleware,
        minimum_size=MIN_LIST_BYTES,
        compresslevel=LIST_LEVEL,
        exclude_content_types=LEFT_AS_THEY_ARE,
    )


def compressed_files(files: ASGIApp) -> ASGIApp:
    """Return an application that serves the same scripts and style sheets compressed."""
    return GZipMiddleware(files, minimum_size=MIN_FILE_BYTES, compresslevel=FILE_LEVEL)
