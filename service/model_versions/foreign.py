"""Uploads of ONNX files that others trained."""

import shutil
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path

from hardneg.schemas.model_versions import InspectedDetector
from models.detectors.foreign.errors import (
    ForeignDetectorError,
    LayoutMismatchError,
    LayoutUnknownError,
    ThresholdedExportError,
)
from models.detectors.foreign.file import save_foreign
from models.detectors.foreign.inspection import SpecOverrides, is_ultralytics
from models.detectors.foreign.model_file import read_metadata
from models.detectors.foreign.spec_text import SPEC_KEY, spec_text
from models.detectors.formats import OnnxFormat
from models.inference.probe import ProbeReport, probe
from service.errors import ServiceError
from service.tables import ModelVersion

THRESHOLDS = ("score_threshold", "nms_threshold", "detections_per_image")


class NotADetector(ServiceError):
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = ForeignDetectorError.code
    title = "Not a detector"


class LayoutUnknown(NotADetector):
    slug = LayoutUnknownError.code
    title = "Unknown layout"


class LayoutMismatch(NotADetector):
    slug = LayoutMismatchError.code
    title = "Outputs do not fit the layout"


class ThresholdedExport(NotADetector):
    slug = ThresholdedExportError.code
    title = "The file drops scores"


_REFUSALS: dict[str, type[NotADetector]] = {
    kind.slug: kind for kind in (NotADetector, LayoutUnknown, LayoutMismatch, ThresholdedExport)
}


def inspect(path: Path, overrides: SpecOverrides) -> InspectedDetector:
    """Inspect a file without keeping it. Raises NotADetector and its children."""
    report = _probe(path, overrides)
    return InspectedDetector(
        spec=asdict(report.spec),
        class_names=list(report.spec.class_names),
        runtime=report.runtime,
        inputs=report.inputs,
        outputs=report.outputs,
        runs_batches=report.runs_batches,
    )


def completed(path: Path, overrides: SpecOverrides, like: ModelVersion | None) -> SpecOverrides:
    """
    Return the overrides, completed by the spec of the parent version where that helps.

    A file that tells itself what it is takes no more than the parent's thresholds, and neither
    does one with a preset. Raises NotADetector.
    """
    if like is None or not like.checkpoint_key.endswith(OnnxFormat.suffix):
        return overrides
    metadata = _metadata(path)
    if SPEC_KEY in metadata:
        return overrides
    told = {**like.spec}
    if overrides.preset is not None or is_ultralytics(metadata):
        told = {name: told[name] for name in THRESHOLDS}
    given = {name: value for name, value in asdict(overrides).items() if value is not None}
    return SpecOverrides.of({**told, **given})


def write_with_spec(path: Path, overrides: SpecOverrides, target: Path) -> None:
    """
    Write the file with its spec inside: one file that rebuilds the detector.

    A file that has the very spec already is copied as it is. Raises NotADetector and its children.
    """
    spec = _probe(path, overrides).spec
    if read_metadata(path).get(SPEC_KEY) == spec_text(spec):
        shutil.copyfile(path, target)
    else:
        save_foreign(path, spec, target)


def _metadata(path: Path) -> dict[str, str]:
    try:
        return read_metadata(path)
    except ForeignDetectorError as error:
        raise NotADetector(str(error)) from error


def _probe(path: Path, overrides: SpecOverrides) -> ProbeReport:
    try:
        return probe(path, overrides)
    except ForeignDetectorError as error:
        raise _REFUSALS.get(error.code, NotADetector)(str(error)) from error
