"""A spec as the text that stands in its file's metadata."""

import json
from dataclasses import asdict, fields
from typing import Any

from models.detectors.foreign.errors import ForeignDetectorError
from models.detectors.foreign.spec import ChannelOrder, ForeignSpec, Layout, Resize

SPEC_KEY = "hardneg"
FORMAT_VERSION = 1
MAX_LETTERS = 1_000_000

_KINDS: dict[str, tuple[type, ...]] = {
    "pad_value": (int,),
    "antialias": (bool,),
    "background_column": (int, type(None)),
    "first_label": (int,),
    "cell_offset": (float, int),
    "score_threshold": (float, int),
    "nms_threshold": (float, int),
    "detections_per_image": (int,),
}
_ITEMS: dict[str, tuple[type, ...]] = {
    "class_names": (str,),
    "input_size": (int,),
    "image_mean": (float, int),
    "image_std": (float, int),
    "strides": (int,),
}
_LENGTHS = {"input_size": 2, "image_mean": 3, "image_std": 3}


def spec_text(spec: ForeignSpec) -> str:
    """Return the text; equal specs give equal texts."""
    return json.dumps({"format": FORMAT_VERSION, **asdict(spec)})


def parse_spec(text: str) -> ForeignSpec:
    """Read a spec back. Raises ForeignDetectorError for a text that this program did not write."""
    if len(text) > MAX_LETTERS:
        raise ForeignDetectorError("the file's spec is too long")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ForeignDetectorError(f"the file's spec is not JSON: {error}") from error
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT_VERSION:
        raise ForeignDetectorError(f"the file's spec is not of format {FORMAT_VERSION}")
    names = {field.name for field in fields(ForeignSpec)}
    if values.keys() != names:
        odd = sorted(names ^ values.keys())[0]
        raise ForeignDetectorError(f"the file's spec lacks or does not know '{odd[:100]}'")
    try:
        return ForeignSpec(**{name: _value(name, value) for name, value in values.items()})
    except (TypeError, ValueError) as error:
        raise ForeignDetectorError(f"the file's spec is wrong: {error}") from error


def _value(name: str, value: Any) -> Any:
    enums = {"layout": Layout, "resize": Resize, "channel_order": ChannelOrder}
    if name in enums:
        return enums[name](value)
    if name in _KINDS:
        if type(value) not in _KINDS[name]:
            raise ValueError(f"{name} has a value of the wrong type")
        return value
    items = tuple(value) if isinstance(value, list) else ()
    if not items or any(type(item) not in _ITEMS[name] for item in items):
        raise ValueError(f"{name} has a value of the wrong type")
    if len(items) != _LENGTHS.get(name, len(items)):
        raise ValueError(f"{name} must have {_LENGTHS[name]} items")
    return items
