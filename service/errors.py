"""Errors that clients see, all as RFC 9457 problem+json."""

import errno
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
from service import db

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


class StorageFull(ServiceError):
    """The disk has no room for what the request brings."""

    status = HTTPStatus.INSUFFICIENT_STORAGE
    slug = "storage-full"
    title = "Storage is full"

    def __init__(self) -> None:
        super().__init__(
            "the service's disk is full: delete images or give the service more room, and send "
            "again what was not acknowledged. What is stored can be read meanwhile"
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
    app.add_middleware(UnexpectedErrors)
    app.add_middleware(OversizeProblems)


async def _on_service_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    return error_response(error)


async def _on_http_exception(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, Exception):  # FastAPI takes any error in a body for the client's
        fault = fault_of(error.__cause__)
        if fault is not None:
            return error_response(fault)
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


def fault_of(error: Exception) -> ServiceError | None:
    """Return the answer to an error of the database or the disk; None for any other."""
    if isinstance(error, ServiceError):
        return error
    is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if is_full or db.is_disk_full(error):
        return StorageFull()
    return DatabaseAway() if db.is_away(error) else None


class UnexpectedErrors:
    """
    Middleware that answers errors which no handler knows, and keeps the connection open.

    A database that is away or locked, and a full disk, are known here, wherever they are met.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception as error:
            fault = fault_of(error)
            message = "unexpected error" if fault is None else fault.title.lower()
            log.error(message, path=scope["path"], exc_info=error)
            if has_started:
                raise  # the server closes the connection, so that the client sees the break
            response = error_response(fault) if fault else problem_response(UNEXPECTED)
            await response(scope, receive, send)


def _plain_problem(status_code: int, detail: str) -> Problem:
    phrase = HTTPStatus(status_code).phrase
    return Problem(
        type=f"/problems/{phrase.lower().replace(' ', '-')}",
        title=phrase,
        status=status_code,
        detail=detail,
    )


UNEXPECTED = _plain_problem(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "the service failed on this request: look for the request id in its log",
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
