"""
The dashboard's scripts, style sheets and pictures.

All addresses begin with one digest of all files. A page therefore never mixes files of two
releases, modules import each other by relative paths, and browsers may keep every file for ever.
"""

from hashlib import sha256
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC_PATH = "/dashboard/static"
FOLDER = Path(__file__).with_name("static")
FOR_EVER = "public, max-age=31536000, immutable"
DIGEST_LENGTH = 16


def _digest_of_all_files() -> str:
    digest = sha256()
    for path in sorted(path for path in FOLDER.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(FOLDER)}\0".encode())
        digest.update(sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:DIGEST_LENGTH]


DIGEST = _digest_of_all_files()


def asset_url(path: str) -> str:
    """Return the address of a file in `static/`, for templates. Raises FileNotFoundError."""
    if not (FOLDER / path).is_file():
        raise FileNotFoundError(path)
    return f"{STATIC_PATH}/{DIGEST}/{path}"


class Assets(StaticFiles):
    """The application that serves the files; an address with an old digest is unknown."""

    def __init__(self) -> None:
        super().__init__(directory=FOLDER)

    async def get_response(self, path: str, scope: Scope) -> Response:
        digest, _, rest = path.partition("/")
        if digest != DIGEST:
            raise HTTPException(404, "this file belongs to another release: load the page again")
        response = await super().get_response(rest, scope)
        response.headers["Cache-Control"] = FOR_EVER
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
