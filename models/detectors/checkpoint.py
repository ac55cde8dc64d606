"""A detector as one safetensors file: weights, with the spec in the metadata."""

import json
import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import BinaryIO, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from models.detectors import ARCHITECTURES, Detector, DetectorSpec, build_from_spec

T = TypeVar("T")

METADATA_KEY = "hardneg"
FORMAT_VERSION = 1
MAX_METADATA_CHARACTERS = 1_000_000


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or does not fit its architecture."""


def save_checkpoint(detector: Detector, target: Path | str | BinaryIO) -> None:
    """
    Write a detector; equal weights and spec give equal bytes.

    A file is written under another name and then renamed: no reader sees half of it.
    """
    state = {name: t.detach().cpu().contiguous() for name, t in _state(detector).items()}
    # One key only: safetensors has no fixed order of keys, and the digest would vary.
    metadata = {METADATA_KEY: json.dumps({"format": FORMAT_VERSION, **asdict(detector.spec)})}
    data = save(state, metadata)
    if not isinstance(target, (str, os.PathLike)):
        target.write(data)
        return
    path = Path(target)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_spec(path: Path | str) -> DetectorSpec:
    """Read the spec from a checkpoint's header alone. Raises CheckpointError."""
    try:
        with safe_open(path, framework="pt") as file:
            return _parse_spec(file.metadata())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(_unreadable(path, error)) from error


def load_checkpoint(path: Path | str, device: torch.device | str = "cpu") -> Detector:
    """
    Rebuild a detector in eval mode, without touching torch's random state.

    Raises:
        CheckpointError: The file is missing, damaged or of another kind, or its tensors do not
            fit the architecture or are not finite.
    """
    try:
        with safe_open(path, framework="pt") as file:
            spec = _parse_spec(file.metadata())
            with torch.random.fork_rng(devices=[]):
                detector = _build(spec)
            wanted = _state(detector)
            _check_names(set(file.keys()), set(wanted))
            state = {name: _read_tensor(file, name, wanted[name]) for name in wanted}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(_unreadable(path, error)) from error
    detector.network.load_state_dict(state)
    return detector.to(device).eval()


def _state(detector: Detector) -> dict[str, Tensor]:
    state: dict[str, Tensor] = detector.network.state_dict()
    return state


def _build(spec: DetectorSpec) -> Detector:
    try:
        return build_from_spec(spec)
    except ValueError as error:
        raise CheckpointError(f"the checkpoint's spec cannot be built: {error}") from error


def _unreadable(path: Path | str, error: Exception) -> str:
    name = Path(path).name
    if isinstance(error, FileNotFoundError):
        return f"there is no checkpoint {name}"
    return f"{name} is not a whole safetensors file: {error}"


def _parse_spec(metadata: dict[str, str] | None) -> DetectorSpec:
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        raise CheckpointError(
            f"the file's metadata has no entry {METADATA_KEY!r}: it is not a checkpoint of this "
            "program, which stores the architecture, class names and thresholds there"
        )
    if len(text) > MAX_METADATA_CHARACTERS:
        raise CheckpointError(f"the metadata has more than {MAX_METADATA_CHARACTERS} characters")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"the metadata is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError("the metadata is not a JSON object")
    version = values.pop("format", None)
    if version != FORMAT_VERSION:
        raise CheckpointError(f"checkpoint format {version!r} is not known; {FORMAT_VERSION} is")
    try:
        spec = _spec_of(values)
    except (ValueError, OverflowError) as error:
        raise CheckpointError(f"the metadata does not describe a detector: {error}") from error
    if spec.architecture not in ARCHITECTURES:
        raise CheckpointError(f"unknown architecture {spec.architecture[:100]!r}")
    return spec


def _spec_of(values: dict[str, object]) -> DetectorSpec:
    unknown = set(values) - {field.name for field in fields(DetectorSpec)}
    if unknown:
        raise ValueError(f"unknown field {min(unknown)[:100]!r}")
    height, width = _items(values, "input_size", int, 2)
    red_mean, green_mean, blue_mean = _items(values, "image_mean", float, 3)
    red_std, green_std, blue_std = _items(values, "image_std", float, 3)
    return DetectorSpec(
        architecture=_item(values, "architecture", str),
        class_names=tuple(_items(values, "class_names", str)),
        input_size=(height, width),
        image_mean=(red_mean, green_mean, blue_mean),
        image_std=(red_std, green_std, blue_std),
        score_threshold=_item(values, "score_threshold", float),
        nms_threshold=_item(values, "nms_threshold", float),
        detections_per_image=_item(values, "detections_per_image", int),
        antialias=_item(values, "antialias", bool),
        freeze_batch_norm=_item(values, "freeze_batch_norm", bool),
    )


def _item(values: dict[str, object], name: str, kind: type[T]) -> T:
    if name not in values:
        raise ValueError(f"{name} is missing")
    return _of_kind(values[name], name, kind)


def _items(
    values: dict[str, object], name: str, kind: type[T], count: int | None = None
) -> list[T]:
    items = _item(values, name, list)
    if count is not None and len(items) != count:
        raise ValueError(f"{name} must have {count} items, not {len(items)}")
    return [_of_kind(item, name, kind) for item in items]


def _of_kind(value: object, name: str, kind: type[T]) -> T:
    """Check the exact type (True is no int); an int passes for a float, as JSON writes 1.0."""
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ValueError(f"{name} must hold {kind.__name__}, not {type(value).__name__}")
    return value


def _check_names(found: set[str], wanted: set[str]) -> None:
    for names, what in ((wanted - found, "are missing"), (found - wanted, "do not belong there")):
        if names:
            listed = ", ".join(name[:100] for name in sorted(names)[:3])
            raise CheckpointError(f"{len(names)} tensors {what}: {listed} ...")


def _read_tensor(file: safe_open, name: str, like: Tensor) -> Tensor:
    shape = tuple(file.get_slice(name).get_shape())  # type: ignore[no-untyped-call]  # Rust
    if shape != tuple(like.shape):
        raise CheckpointError(
            f"{name} has shape {shape}, the architecture needs {tuple(like.shape)}"
        )
    tensor: Tensor = file.get_tensor(name)  # type: ignore[no-untyped-call]  # Rust
    if tensor.is_floating_point() != like.is_floating_point():
        raise CheckpointError(f"{name} holds {tensor.dtype}, the architecture needs {like.dtype}")
    tensor = tensor.to(like.dtype)
    if not torch.isfinite(tensor).all():
        raise CheckpointError(f"{name} holds values that are not finite")
    return tensor
