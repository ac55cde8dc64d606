"""The registry of model versions."""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from pydantic import RootModel

from hardneg.schemas.model_versions import (
    AddedVersion,
    InspectedDetector,
    ModelVersionDetail,
    ModelVersionOut,
    OnnxOptions,
)
from hardneg.transport import Connection, opened, read_answer


class ModelVersionList(RootModel[list[ModelVersionOut]]):
    """The answer of `GET /model-versions`."""


class ModelVersionCalls(Connection):
    """Calls under `/model-versions`; a version is named by its id or its name."""

    def model_versions(self) -> list[ModelVersionOut]:
        """Return all model versions, newest first."""
        return read_answer(ModelVersionList, self._get("/model-versions")).root

    def model_version(self, version: str | int) -> ModelVersionDetail:
        """Return one model version, and how much of the pool it has scored."""
        return read_answer(ModelVersionDetail, self._get(_path_of(version)))

    def add_checkpoint(
        self,
        checkpoint: str | os.PathLike[str],
        name: str | None = None,
        onnx: OnnxOptions | None = None,
        *,
        training_run_id: int | None = None,
    ) -> AddedVersion:
        """
        Upload a checkpoint as a new model version; a known one returns the version it already is.

        Its `job` measures it, and with a training run decides whether it serves.

        Args:
            checkpoint: path of a safetensors file that the service wrote, or of an ONNX file.
            name: name of the version; `v` and its id by default.
            onnx: what an ONNX file does not say itself.
            training_run_id: the run on whose frozen list the file was trained, elsewhere.

        Raises:
            ClientError: The file cannot be read, or the service refused it.
        """
        path = Path(checkpoint)
        with opened(path) as file:
            parts = [("checkpoint", (path.name, file))]
            form = _form_of(onnx) | ({"name": name} if name else {})
            if training_run_id is not None:
                form["training_run_id"] = str(training_run_id)
            answer = self._post("/model-versions", form, parts)
        return read_answer(AddedVersion, answer)

    def inspect_detector(
        self, path: str | os.PathLike[str], onnx: OnnxOptions | None = None
    ) -> InspectedDetector:
        """
        Return what an ONNX file is and how it would be scored, without adding it.

        Raises:
            ClientError: The file cannot be read, or it is no detector; the reason says what to do.
        """
        path = Path(path)
        with opened(path) as file:
            parts = [("file", (path.name, file))]
            answer = self._post("/model-versions/inspect", _form_of(onnx), parts)
        return read_answer(InspectedDetector, answer)

    def add_architecture(
        self,
        architecture: str,
        *,
        weights: str | None = None,
        class_names: Sequence[str] = (),
        name: str | None = None,
    ) -> AddedVersion:
        """
        Build a detector as a new model version.

        Args:
            architecture: such as `ssd_small` or `ssdlite320_mobilenet_v3_large`.
            weights: `COCO_V1`, `imagenet`, …; None draws them at random.
            class_names: object classes in label order; none for weights that have their own.
            name: name of the version; `v` and its id by default.

        Raises:
            Refused: There is no such architecture, or it has no such weights.
        """
        given = {"architecture": architecture, "weights": weights, "name": name}
        form: dict[str, str | list[str]] = {field: text for field, text in given.items() if text}
        form["class_names"] = list(class_names)
        return read_answer(AddedVersion, self._post("/model-versions", form))

    def activate(self, version: str | int) -> ModelVersionDetail:
        """
        Let a model version serve; the pool is scored with it in the background.

        Activating an older version rolls back at once: its scores are still there.
        """
        return read_answer(ModelVersionDetail, self._post(f"{_path_of(version)}/activate"))

    def download_checkpoint(self, version: str | int, path: str | os.PathLike[str]) -> Path:
        """
        Save the checkpoint of a version, safetensors or ONNX, and return the file's path.

        The file appears under its name only when it is complete.

        Raises:
            ClientError: There is no such version, the connection broke, or the file cannot be
                written.
        """
        return self._save(f"{_path_of(version)}/checkpoint", Path(path))


def _form_of(onnx: OnnxOptions | None) -> dict[str, str | list[str]]:
    """Return a form with a field for each value, and several for a list."""
    values = onnx.model_dump(mode="json", exclude_none=True) if onnx is not None else {}
    return {
        name: [str(item) for item in value] if isinstance(value, list) else str(value)
        for name, value in values.items()
    }


def _path_of(version: str | int) -> str:
    return f"/model-versions/{quote(str(version), safe='')}"
