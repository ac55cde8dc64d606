"""Quick scores in bfloat16, and the rule that decides which images need exact ones."""

import math

import structlog
import torch

from models.detectors import Detector
from models.detectors.detector import Dense
from models.inference.trial import try_bfloat16
from service.scoring.results import ScoreResult, ScoringFailure

EXACT_TOP = 2000  # worst images of each source: one page of 1,000, and as many to strike out
# After k images of a source, the next one is in its top with a chance of top / k. A quick score
# costs 0.6 of an exact one, so the screen begins to pay where that chance is a quarter.
MIN_SOURCE_TOPS = 4
MIN_SOURCE_SIZE = MIN_SOURCE_TOPS * EXACT_TOP
SAMPLE_SIZE = 64
MARGIN_FACTOR = 3.0  # the margin over the largest error seen
MAX_ERROR = 0.5  # in log-odds, on noise, at load
MIN_SPEEDUP = 1.2  # some processors have bfloat16 instructions and are hardly faster with them

log = structlog.get_logger()


class Screen:
    """
    The rule that decides which images of one version need an exact score after a quick one.

    An image is among the `exact_top` worst of its source only if its exact log-odds reach those of
    the last of them, the cutoff. Its quick log-odds may be off by `margin`. Every image that is
    scored both ways measures the margin, which is infinite until there are `sample_size` of them.

    Attributes:
        num_measured: images that were scored both ways, by this process or an earlier one.
        largest_error: in log-odds, on these images and on the noise that was scored at load.
        dense: computes most of a quick score, in the place of `Detector.dense`; None for that.
        computed_by: the device and the releases of libraries that the error depends on.
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
        self.num_measured = 0
        self.largest_error = largest_error
        self.dense = dense
        self.computed_by = computed_by

    def add_measurements(self, num_images: int, largest_error: float) -> None:
        """Add the images that an earlier process has scored both ways, and their largest error."""
        self.num_measured += num_images
        self.largest_error = max(self.largest_error, largest_error)

    def measure(self, quick: ScoreResult, exact: ScoreResult) -> None:
        """Measure the error on one image that was scored both ways."""
        quick_log_odds, exact_log_odds = _log_odds(quick), _log_odds(exact)
        if quick_log_odds is not None and exact_log_odds is not None:
            self.add_measurements(1, abs(quick_log_odds - exact_log_odds))

    @property
    def margin(self) -> float:
        """The margin in log-odds; infinity until enough images were scored both ways."""
        return margin_of(self.num_measured, self.largest_error, self._sample_size)

    @property
    def min_source_size(self) -> int:
        """The number of images that a source must have before quick scores are likely to pay."""
        return MIN_SOURCE_TOPS * self.exact_top

    def may_be_in_top(self, quick: ScoreResult, cutoff: float) -> bool:
        """Return whether an image may be in the top whose last image has log-odds `cutoff`."""
        log_odds = _log_odds(quick)
        return log_odds is None or log_odds >= cutoff - self.margin


def margin_of(num_measured: int, largest_error: float, sample_size: int = SAMPLE_SIZE) -> float:
    """Return the margin in log-odds; infinity if too few images were scored both ways."""
    return MARGIN_FACTOR * largest_error if num_measured >= sample_size else math.inf


def _log_odds(result: ScoreResult) -> float | None:
    return None if isinstance(result, ScoringFailure) else result.log_odds


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
    Try quick scores of a detector; return None if they are too slow here, or too far off.

    Args:
        detector: gives the exact scores to compare with.
        version_name: for the log.
        dense: a compiled `detector.dense` for the quick scores; None for the detector's own.
        compiler: name and release of the compiler of `dense`.
        max_error: in log-odds, on noise.
        min_speedup: over the exact scores.
        min_gain: of the compiled `dense` over the detector's own, both in bfloat16.
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
    """Return whether a CPU has bfloat16 instructions; true for a GPU, where a trial decides."""
    return device.type != "cpu" or _native_bfloat16() is not None


def _name_of(device: torch.device) -> str:
    if device.type == "cpu":
        return f"cpu {_native_bfloat16() or 'without bfloat16'}"
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _native_bfloat16() -> str | None:
    """Return the processor's bfloat16 instructions, None if it has none."""
    # The oldest torch that we support may lack this function.
    cpu: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return next((name for name in ("amx_bf16", "avx512_bf16", "bf16") if cpu.get(name)), None)
