"""Choices of an export: its format, its images, and which part of a training list."""

from enum import StrEnum


class ExportFormat(StrEnum):
    """The formats that other tools read."""

    YOLO = "yolo"
    COCO = "coco"
    VOC = "voc"
    CVAT = "cvat"
    LABEL_STUDIO = "label-studio"
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class ExportedImages(StrEnum):
    """The place of the images: inside the zip, or behind links."""

    INSIDE = "inside"
    LINKS = "links"


class ExportContent(StrEnum):
    """The part of a frozen list: its new negatives alone, or every image."""

    DELTA = "delta"
    ALL = "all"
