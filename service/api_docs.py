"""The page at `/docs` that explains the API, and the static files that it loads."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from service.roles import open_to_all

STATIC_PATH = "/static"
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",  # Swagger UI's icons are in its style sheet
        "connect-src 'self'",  # the OpenAPI document, and calls that a reader tries out
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>hardneg: API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="static/vendor/swagger-ui/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="static/vendor/swagger-ui/swagger-ui-bundle.js"></script>
<script src="static/api-docs.js"></script>
</body>
</html>
"""

router = APIRouter(include_in_schema=False)


@router.get("/docs")
@open_to_all
async def show_api_docs() -> HTMLResponse:
    """Show the OpenAPI document; everything that the page loads comes from the service."""
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


def static_files() -> StaticFiles:
    """Return the application that serves the files to mount at `STATIC_PATH`."""
    return StaticFiles(directory=Path(__file__).with_name("static"))
