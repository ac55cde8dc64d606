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
    """Whether the zip holds the images, or only links to them."""

    INSIDE = "inside"
    LINKS = "links"


class ExportContent(StrEnum):
    """Which part of a frozen list: the new negatives alone, or every image."""

    DELTA = "delta"
    ALL = "all"
