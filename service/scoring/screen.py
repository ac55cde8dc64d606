"""Quick scores in bfloat16 for the many, exact ones in float32 for all that could be served."""

import math
from collections.abc import Mapping

import structlog
import torch

from models.detectors import Detector
from models.detectors.detector import Dense
from models.inference.predict import Prediction
from models.inference.trial import try_bfloat16
from service.scoring.store import Failure

EXACT_TOP = 2000  # the worst images of each source: 1,000 that are served, and room to strike out
# An image's chance to be in the top, of k scored so far, is top / k: at a quarter, and with a quick
# score at 0.6 of an exact one's cost, the screen begins to pay.
WORTH_FROM_TOPS = 4
WORTH_FROM = WORTH_FROM_TOPS * EXACT_TOP
SAMPLE_SIZE = 64
MARGIN_FACTOR = 3.0  # the margin over the largest error seen
MAX_ERROR = 0.5  # in log-odds, on noise, at load
MIN_SPEEDUP = 1.2  # some processors have the instructions and gain nothing by them

log = structlog.get_logger()


class Screen:
    """
    Says which images of one version need an exact score after a quick one.

    An image is among the `exact_top` worst of its source only if its exact log-odds reach those of
    the last of them. Its quick ones may be off by `margin`, which is measured on every image that
    is scored both ways, at first on `sample_size` or more.

    Attributes:
        num_images: that were scored both ways, by this process or an earlier one.
        largest_error: of log-odds, on these and on the noise that was scored at load.
        dense: what computes most of it, None for the detector itself.
        computed_by: what the error of a quick score depends on: a device, and releases of
            libraries.
    """

    def __init__(
        self,
        exact_top: int = EXACT_TOP,
        sample_size: int = SAMPLE_SIZE,
        largest_error: float = 0.0,
        dense: Dense | None = None,
        computed_by: str = "",
    ) -> None:
        self.exact_top = exact_top
        self._sample_size = sample_size
        self.num_images = 0
        self.largest_error = largest_error
        self.dense = dense
        self.computed_by = computed_by

    def remember(self, num_images: int, largest_error: float) -> None:
        """Begin with what an earlier process has learned; what is known to be larger stays."""
        self.num_images += num_images
        self.largest_error = max(self.largest_error, largest_error)

    @property
    def margin(self) -> float:
        """In log-odds; infinity until enough images were scored both ways."""
        return margin_of(self.num_images, self.largest_error, self._sample_size)

    @property
    def worth_from(self) -> int:
        """Images of a source from which on a quick score is likely to spare an exact one."""
        return WORTH_FROM_TOPS * self.exact_top

    def needs_exact(self, quick: Prediction | Failure, last_of_top: float | None) -> bool:
        """`last_of_top`: log-odds of the last that is served, None while there are fewer."""
        log_odds = _log_odds(quick)
        if log_odds is None or last_of_top is None:
            return True
        return log_odds >= last_of_top - self.margin

    def learn(
        self,
        quick: Mapping[int, Prediction | Failure],
        exact: Mapping[int, Prediction | Failure],
    ) -> None:
        """Measure the error on images that were scored both ways, by image id."""
        for image_id, sure in exact.items():
            pair = (_log_odds(quick[image_id]), _log_odds(sure))
            if pair[0] is not None and pair[1] is not None:
                self.largest_error = max(self.largest_error, abs(pair[0] - pair[1]))
                self.num_images += 1


def margin_of(num_images: int, largest_error: float, sample_size: int = SAMPLE_SIZE) -> float:
    """In log-odds; infinity where it was measured on too few images."""
    return MARGIN_FACTOR * largest_error if num_images >= sample_size else math.inf


def _log_odds(outcome: Prediction | Failure) -> float | None:
    return None if isinstance(outcome, Failure) else outcome.log_odds


def make_screen(
    detector: Detector,
    version_name: str,
    *,
    dense: Dense | None = None,
    compiler: str = "",
    max_error: float = MAX_ERROR,
    min_speedup: float = MIN_SPEEDUP,
    min_gain: float = 1.0,
) -> Screen | None:
    """
    None where bfloat16 is too slow here or too far off; `dense` is the detector's, compiled.

    `compiler` is the name and release of what compiled it. Compiled, it must be `min_gain` times as
    fast as not.
    """
    backend = compiler or "bfloat16"
    if not has_bfloat16(detector.device):
        log.info("backend refused: this processor has no bfloat16", backend=backend)
        return None
    error, speedup, gain = try_bfloat16(detector, dense)
    refusal = ""
    if not error <= max_error:
        refusal = "its scores are too far off"
    elif speedup < min_speedup:
        refusal = "it is hardly faster on this machine"
    elif gain < min_gain:
        refusal = "it is slower than without a compiler on this machine"
    log.info(
        f"backend refused: {refusal}" if refusal else "backend ready",
        backend=backend,
        model_version=version_name,
        error=round(error, 4),
        allowed=max_error,
        times_as_fast=round(speedup, 2),
        wanted=min_speedup,
        gain_by_compiler=round(gain, 2),
    )
    if refusal:
        return None
    parts = [_name_of(detector.device), f"torch {torch.__version__}", compiler]
    return Screen(
        largest_error=error,
        dense=dense,
        computed_by=", ".join(part for part in parts if part),
    )


def has_bfloat16(device: torch.device) -> bool:
    """Whether it computes with it, as far as one can ask: on a GPU it is tried."""
    return device.type != "cpu" or _native_bfloat16() is not None


def _name_of(device: torch.device) -> str:
    if device.type == "cpu":
        return f"cpu {_native_bfloat16() or 'without bfloat16'}"
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _native_bfloat16() -> str | None:
    """The processor's instructions for it."""
    # the oldest torch that we take may lack it
    cpu: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return next((name for name in ("amx_bf16", "avx512_bf16", "bf16") if cpu.get(name)), None)
