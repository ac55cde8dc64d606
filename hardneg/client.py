"""The service over HTTP, for the command line and the demo."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, RootModel, ValidationError

from hardneg.schemas.hard_negatives import HardNegativePage
from hardneg.schemas.images import ScoredImageOut, UploadItem, UploadResult
from hardneg.schemas.jobs import JobDetail, JobOut, JobPage
from hardneg.schemas.labelled_images import LabelledUploadResult
from hardneg.schemas.model_versions import ModelVersionDetail, ModelVersionOut
from hardneg.schemas.problems import MEDIA_TYPE, Problem
from hardneg.schemas.stats import Iteration, IterationPage

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 600.0  # a full batch on a slow detector is scored before the answer
MAX_CONNECTIONS = 16

FILE_STATUSES = {
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
INVALID_REQUEST = "/problems/invalid-request"
TOO_LARGE = Problem(
    type="about:blank",
    title="Content Too Large",
    status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    detail="the request body is larger than this service takes",
)

Form = Mapping[str, str | list[str]]
Part = tuple[str, tuple[str, bytes | BinaryIO]]
Model = TypeVar("Model", bound=BaseModel)


class ModelVersions(RootModel[list[ModelVersionOut]]):
    pass


class ClientError(Exception):
    """The service could not be asked, or refused; the message is one sentence for a person."""


class Unreachable(ClientError):
    """No answer: no server there, or the connection broke."""


class Refused(ClientError):
    """The service answered with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem

    @property
    def concerns_one_file(self) -> bool:
        """Whether a file was refused, and not the request around it."""
        return self.problem.status in FILE_STATUSES and self.problem.type != INVALID_REQUEST


def server_url(host: str, port: int) -> str:
    """Where a server with these settings is reached from its own machine."""
    try:
        address = ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        return f"http://{'127.0.0.1' if address.version == 4 else '[::1]'}:{port}"
    return f"http://{address if address.version == 4 else f'[{address}]'}:{port}"


class Client:
    """Calls of one service; may be shared by threads. Every call raises ClientError."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        try:
            self._http = httpx.Client(
                base_url=self.url,
                headers=headers,
                timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
                limits=httpx.Limits(max_connections=MAX_CONNECTIONS),
                trust_env=False,  # a proxy for the web has no business before this service
            )
        except (httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise ClientError(f"{url!r} is no URL of a service: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def check_alive(self) -> None:
        self._get("/healthz")

    def upload_images(
        self, files: Sequence[tuple[str, bytes]], *, split: str, source: str
    ) -> list[UploadItem]:
        """One item for each (name, bytes), in order; refused ones are items too."""
        form = {"split": split, "source": source}
        parts = [("files", file) for file in files]
        if len(files) > 1:
            return _read(UploadResult, self._post("/images", form, parts)).items
        ((name, _),) = files
        try:
            answer = self._post("/images", form, parts)
        except Refused as error:
            if not error.concerns_one_file:
                raise
            problem = error.problem
            return [UploadItem(file_name=name, status=problem.status, problem=problem)]
        image = _read(ScoredImageOut, answer)
        return [UploadItem(file_name=name, status=answer.status_code, image=image)]

    def upload_labelled(
        self,
        annotations: bytes,
        files: Sequence[tuple[str, bytes]],
        *,
        split: str,
        source: str,
    ) -> LabelledUploadResult:
        """COCO instances as JSON, and the images that they name."""
        parts: list[Part] = [("annotations", ("annotations.json", annotations))]
        parts += [("files", file) for file in files]
        answer = self._post("/labelled-images", {"split": split, "source": source}, parts)
        return _read(LabelledUploadResult, answer)

    def thumbnail(self, image_id: int, max_side: int) -> bytes:
        """A JPEG whose longer side is at most `max_side` pixels."""
        return self._get(f"/images/{image_id}/thumbnail", {"max_side": str(max_side)}).content

    def hard_negatives(self, query: Mapping[str, str]) -> HardNegativePage:
        """One page; `query` is that of `GET /hard-negatives`."""
        return _read(HardNegativePage, self._get("/hard-negatives", query))

    def model_versions(self) -> list[ModelVersionOut]:
        """Newest first."""
        return _read(ModelVersions, self._get("/model-versions")).root

    def add_checkpoint(self, path: Path, name: str | None = None) -> ModelVersionOut:
        """Raises ClientError also if the file cannot be read."""
        try:
            with path.open("rb") as file:
                parts = [("checkpoint", (path.name, file))]
                answer = self._post("/model-versions", {"name": name} if name else {}, parts)
        except OSError as error:
            raise ClientError(f"cannot read {path}: {error.strerror}") from error
        return _read(ModelVersionOut, answer)

    def add_architecture(
        self,
        architecture: str,
        *,
        weights: str | None,
        class_names: Sequence[str],
        name: str | None = None,
    ) -> ModelVersionOut:
        given = {"architecture": architecture, "weights": weights, "name": name}
        form: dict[str, str | list[str]] = {field: text for field, text in given.items() if text}
        form["class_names"] = list(class_names)
        return _read(ModelVersionOut, self._post("/model-versions", form))

    def activate(self, version: str) -> ModelVersionDetail:
        """By id or name."""
        answer = self._post(f"/model-versions/{quote(version, safe='')}/activate")
        return _read(ModelVersionDetail, answer)

    def retrain(self, request: Mapping[str, object]) -> JobOut:
        """`request` is the body of `POST /retrain`."""
        return _read(JobOut, self._send(self._http.build_request("POST", "/retrain", json=request)))

    def jobs(self, kind: str) -> list[JobOut]:
        """The newest first, at most a hundred."""
        return _read(JobPage, self._get("/jobs", {"kind": kind})).items

    def job(self, job_id: int) -> JobDetail:
        return _read(JobDetail, self._get(f"/jobs/{job_id}"))

    def cancel_job(self, job_id: int) -> JobOut:
        return _read(JobOut, self._post(f"/jobs/{job_id}/cancel"))

    def iterations(self) -> list[Iteration]:
        """All versions in the order in which they came, with what they were measured at."""
        items: list[Iteration] = []
        after_id: int | None = 0
        while after_id is not None:
            page = _read(IterationPage, self._get("/stats/iterations", {"after_id": str(after_id)}))
            items += page.items
            after_id = page.next_after_id
        return items

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> httpx.Response:
        return self._send(self._http.build_request("GET", path, params=query))

    def _post(
        self, path: str, form: Form | None = None, parts: Sequence[Part] | None = None
    ) -> httpx.Response:
        return self._send(self._http.build_request("POST", path, data=form, files=parts))

    def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            answer = self._http.send(request)
        except httpx.TimeoutException as error:
            raise Unreachable(f"{self.url} does not answer in time") from error
        except httpx.ConnectError as error:
            raise Unreachable(
                f"no service answers at {self.url}: start one with `hardneg serve`, "
                "or name another with --url"
            ) from error
        except httpx.TransportError as error:
            raise Unreachable(f"the connection to {self.url} broke: {error}") from error
        if answer.is_success:
            return answer
        raise _refusal(answer)


def _refusal(answer: httpx.Response) -> ClientError:
    if answer.headers.get("content-type") == MEDIA_TYPE:
        return Refused(_read(Problem, answer))
    if answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:  # perhaps of a proxy before it
        return Refused(TOO_LARGE)
    return ClientError(
        f"{answer.request.url} answers {answer.status_code} {answer.reason_phrase}: "
        "is it a hardneg service?"
    )


def _read(model: type[Model], answer: httpx.Response) -> Model:
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as error:
        raise ClientError(
            f"{answer.request.url} answers, but not as a hardneg service of this version"
        ) from error
