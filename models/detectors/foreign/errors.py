"""Reasons against using an ONNX file, each with a remedy."""

from typing import ClassVar

from models.detectors.checkpoint import CheckpointError


class ForeignDetectorError(CheckpointError):
    """A file that cannot be a detector here; `code` names the kind of reason."""

    code: ClassVar[str] = "not-a-detector"


class LayoutUnknownError(ForeignDetectorError):
    """Outputs that fit no layout, or more than one."""

    code = "layout-unknown"


class LayoutMismatchError(ForeignDetectorError):
    """Outputs that do not fit the given layout or number of classes."""

    code = "layout-mismatch"


class ThresholdedExportError(ForeignDetectorError):
    """A file with a score threshold inside, which leaves most negatives without a score."""

    code = "thresholded-export"
