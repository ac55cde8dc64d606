"""Errors that clients see, all as RFC 9457 problem+json."""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, ClassVar

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hardneg.schemas.problems import MEDIA_TYPE, FieldError, Problem

log = structlog.get_logger()


class ServiceError(Exception):
    """Base of the errors that a client can act on; `detail` says how."""

    status: ClassVar[HTTPStatus]
    slug: ClassVar[str]
    title: ClassVar[str]
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class DatabaseAway(ServiceError):
    """A query failed before the database answered."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "database-away"
    title = "The database does not answer"

    def __init__(self) -> None:
        super().__init__(
            "the database does not answer: try again later; the service's log has the reason"
        )


def problem_of(error: ServiceError) -> Problem:
    """Return the problem details of an error."""
    return Problem(
        type=f"/problems/{error.slug}",
        title=error.title,
        status=error.status.value,
        detail=error.detail,
    )


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the HTTP response for problem details."""
    return JSONResponse(
        problem.model_dump(exclude_none=True),
        status_code=problem.status,
        headers=dict(headers or {}),
        media_type=MEDIA_TYPE,
    )


def error_response(error: ServiceError) -> JSONResponse:
    """Return the HTTP response for an error; 503 says when to try again."""
    retry = {"Retry-After": "5"} if error.status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return problem_response(problem_of(error), {**retry, **error.headers})


def problem_responses(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route in the OpenAPI document, one for each status."""
    return {
        status.value: {
            "description": status.phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def add_error_handlers(app: FastAPI) -> None:
    """Turn every error of the app into a problem, Starlette's own and unexpected ones too."""
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(Exception, _on_unexpected_error)
    app.add_middleware(OversizeProblems)


async def _on_service_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    return error_response(error)


async def _on_http_exception(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem_response(_plain_problem(error.status_code, error.detail), error.headers)


async def _on_validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fields = [
        FieldError(field=".".join(str(part) for part in item["loc"]), message=item["msg"])
        for item in error.errors()
    ]
    problem = Problem(
        type="/problems/invalid-request",
        title="Invalid request",
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        detail="; ".join(f"{item.field}: {item.message}" for item in fields),
        errors=fields,
    )
    return problem_response(problem)


async def _on_unexpected_error(request: Request, error: Exception) -> JSONResponse:
    log.error("unexpected error", path=request.url.path, exc_info=error)
    detail = "the service failed on this request: look for the request id in its log"
    request_id = structlog.contextvars.get_contextvars().get("request_id", "")
    problem = _plain_problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)
    return problem_response(problem, {"X-Request-ID": request_id})


def _plain_problem(status_code: int, detail: str) -> Problem:
    phrase = HTTPStatus(status_code).phrase
    return Problem(
        type=f"/problems/{phrase.lower().replace(' ', '-')}",
        title=phrase,
        status=status_code,
        detail=detail,
    )


class OversizeProblems:
    """Middleware that replaces Starlette's plain-text 413, which no error handler sees."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        replaced = False

        async def send_problem_instead(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and _is_plain_413(message):
                replaced = True
                problem = _plain_problem(413, "the request body is larger than this service takes")
                await problem_response(problem)(scope, receive, send)
            elif not replaced:
                await send(message)

        await self.app(scope, receive, send_problem_instead)


def _is_plain_413(message: Message) -> bool:
    headers = MutableHeaders(raw=list(message["headers"]))
    content_type = headers.get("content-type", "")
    return message["status"] == 413 and content_type.startswith("text/plain")
