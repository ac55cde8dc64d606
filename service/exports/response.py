"""An export as an HTTP response."""

from typing import Any

from fastapi import Request
from fastapi.responses import StreamingResponse

from service.exports.export import ExportedZip
from service.exports.names import slug

MEDIA_TYPE = "application/zip"

# The `responses` of a route in the OpenAPI document.
ZIP_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        "description": "A zip of labels, images and `hardneg.jsonl`",
    }
}


def zip_response(exported: ExportedZip) -> StreamingResponse:
    """Return the response that sends a zip, under its name."""
    headers = {
        "Content-Disposition": f'attachment; filename="{slug(exported.name)}.zip"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(exported.chunks, media_type=MEDIA_TYPE, headers=headers)


def service_url(request: Request) -> str:
    """Return the service's address as the client reached it, without a slash at its end."""
    return str(request.base_url).rstrip("/")
