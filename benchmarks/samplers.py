"""
Anchor samplers and mining losses beside what they stand in for, both sides in one run.

    python -m benchmarks.samplers --help

Each ratio is the median over the repeats of one side's time over the other's, measured in turns,
so that whatever else the machine does slows both; the ratio of the fastest repeat of each side
says what is left when nothing does. MONAI's sampler and torchvision's come from
their packages; the double sort and the loss over all anchors are written here, as plainly as
super-gradients' `training/losses/ssd_loss.py` describes them.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from monai.apps.detection.utils import hard_negative_sampler as monai
from torch import Tensor
from torch.nn import functional
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler

from models.detectors import Detector, build
from models.losses import HardMiningCrossEntropyLoss
from models.sampling import (
    AnchorSampler,
    BalancedSampler,
    BatchedHardNegativeSampler,
    HardNegativeSampler,
    RatioSampler,
    hard_negative_mask,
)

Result = Tensor | tuple[list[Tensor], list[Tensor]]

SHARE_OF_STEP_LIMIT = 0.02


@dataclass(frozen=True, slots=True)
class Shape:
    """A training batch of one family: B images of A anchors, some of them positive."""

    family: str
    num_images: int
    num_anchors: int
    positives_per_image: int

    def labels(self) -> list[Tensor]:
        """int64 [A] per image; every fourth image has no object, as when negatives are mined."""
        images = [torch.zeros(self.num_anchors, dtype=torch.int64) for _ in range(self.num_images)]
        for i, image in enumerate(images):
            if i % 4:
                image[torch.randperm(self.num_anchors)[: self.positives_per_image]] = 1
        return images

    def __str__(self) -> str:
        return f"{self.family} {self.num_images} x {self.num_anchors:,}"


SHAPES = (
    Shape("SSD300", 16, 8_732, 30),
    Shape("SSDLite320", 32, 3_234, 20),
    Shape("RetinaNet 800", 4, 200_000, 60),
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One thing done both ways; `target` is the ratio that we hold ourselves to."""

    what: str
    shape: Shape
    ours: Callable[[], Result]
    theirs: Callable[[], Result]
    target: float | None


def sampler_comparisons(shape: Shape) -> list[Comparison]:
    """Against MONAI's sampler with the values of its LUNA16 tutorial, and with ours."""
    labels = shape.labels()
    probs = torch.randperm(shape.num_images * shape.num_anchors).float() / 2**24  # no two equal
    comparisons: list[Comparison] = []
    for arguments in ((64, 0.3, 16, 20.0), (256, 0.25, 64, 10.0)):
        ours, theirs = HardNegativeSampler(*arguments), monai.HardNegativeSampler(*arguments)
        comparisons.append(
            Comparison(
                f"HardNegativeSampler{arguments} / MONAI",
                shape,
                partial(ours, labels, probs),
                partial(theirs, labels, probs),
                target=3,
            )
        )
    balanced, torchvisions = BalancedSampler(256, 0.5), BalancedPositiveNegativeSampler(256, 0.5)
    comparisons.append(
        Comparison(
            "BalancedSampler(256, 0.5) / torchvision",
            shape,
            partial(balanced, labels),
            partial(torchvisions, labels),
            target=None,
        )
    )
    return comparisons


def mask_comparison(shape: Shape, target: float | None) -> Comparison:
    """Compute the rank mask at SSD's three negatives per positive."""
    loss = torch.rand(shape.num_images, shape.num_anchors)
    nums = torch.tensor([3 * int((image > 0).sum()) for image in shape.labels()])
    return Comparison(
        "hard_negative_mask / double sort",
        shape,
        partial(hard_negative_mask, loss, nums),
        partial(mask_by_double_sort, loss, nums),
        target,
    )


def mask_by_double_sort(loss: Tensor, nums: Tensor) -> Tensor:
    order = loss.sort(dim=1, descending=True).indices
    return order.sort(dim=1).indices < nums[:, None]


def loss_comparison(shape: Shape, num_classes: int, target: float | None) -> Comparison:
    """Forward and backward of hard-mining cross entropy; images without objects left out."""
    logits = torch.randn(shape.num_images, 1 + num_classes, shape.num_anchors, requires_grad=True)
    labels = torch.stack(shape.labels())
    ours = HardMiningCrossEntropyLoss(3.0, min_negatives=0)
    return Comparison(
        f"HardMiningCrossEntropyLoss, {num_classes} classes / over all anchors",
        shape,
        partial(gradient, ours, logits, labels),
        partial(gradient, loss_over_all_anchors, logits, labels),
        target,
    )


def gradient(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, labels: Tensor) -> Tensor:
    return torch.autograd.grad(loss(logits, labels).sum(), logits)[0]


def loss_over_all_anchors(logits: Tensor, labels: Tensor) -> Tensor:
    """Float [B]: cross entropy of every anchor with its graph, then a mask by double sort."""
    losses = functional.cross_entropy(logits, labels, reduction="none")
    is_positive = labels > 0
    negatives_only = losses.detach().masked_fill(is_positive, 0)
    chosen = is_positive | mask_by_double_sort(negatives_only, 3 * is_positive.sum(dim=1))
    return (losses * chosen).sum(dim=1)


def require_equal_with_one_seed(comparison: Comparison) -> None:
    """Also the warm-up. Raises RuntimeError if the sides differ: their times would say nothing."""
    results = []
    for side in (comparison.ours, comparison.theirs):
        torch.manual_seed(0)
        result = side()
        result = result if isinstance(result, Tensor) else torch.cat([*result[0], *result[1]])
        results.append(result.float())
    if not torch.allclose(results[0], results[1], rtol=1e-4):
        raise RuntimeError(f"the two sides differ: {comparison.what}, {comparison.shape}")


def seconds(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    call()
    return clock() - start


def compare(comparison: Comparison, repeats: int, clock: Callable[[], float]) -> str:
    """Measure a row of the table: both sides in turns, each first in every other turn."""
    require_equal_with_one_seed(comparison)
    sides = [comparison.ours, comparison.theirs]
    ours, theirs, ratios = [], [], []
    for repeat in range(repeats):
        order = (0, 1) if repeat % 2 else (1, 0)
        times = {side: seconds(sides[side], clock) for side in order}
        ours.append(times[0])
        theirs.append(times[1])
        ratios.append(times[1] / times[0])
    low, ratio, high = statistics.quantiles(ratios, n=4)
    of_fastest = min(theirs) / min(ours)
    target = "" if comparison.target is None else f"{comparison.target:g}"
    return (
        f"| {comparison.what} | {comparison.shape} | {1e3 * statistics.median(ours):.2f} | "
        f"{1e3 * statistics.median(theirs):.2f} | {ratio:.1f} ({low:.1f}-{high:.1f}) | "
        f"{of_fastest:.1f} | {target} |"
    )


def step_seconds(detector: Detector, size: int, num_images: int, repeats: int) -> float:
    """Median of forward and backward; the optimizer, which would only add to it, is left out."""
    images = [torch.randint(0, 256, (3, size, size), dtype=torch.uint8) for _ in range(num_images)]
    box = torch.tensor([[0.2, 0.2, 0.6, 0.7]]) * size
    targets = [{"boxes": box, "labels": torch.tensor([1])}] * num_images

    def step() -> None:
        losses: dict[str, Tensor] = detector(images, targets)
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
        detector.zero_grad()

    detector.train()
    return statistics.median(seconds(step) for _ in range(repeats))


def shares_of_a_step(repeats: int) -> list[str]:
    """Rows: each sampler's time per image, over that of a training step of the shape's family."""
    steps = (
        ("ssd300_vgg16", 300, 2),
        ("ssdlite320_mobilenet_v3_large", 320, 8),
        ("retinanet_resnet50_fpn_v2", 800, 1),
    )
    rows = []
    for shape, (architecture, size, num_images) in zip(SHAPES, steps, strict=True):
        detector = build(architecture, [f"class {i}" for i in range(80)])
        step = step_seconds(detector, size, num_images, repeats=3) / num_images
        labels = shape.labels()
        probs = torch.rand(shape.num_images * shape.num_anchors)
        samplers: Sequence[AnchorSampler] = (
            HardNegativeSampler(256, 0.25),
            BatchedHardNegativeSampler(256, 0.25),
            RatioSampler(3.0),
            BalancedSampler(256, 0.25),
        )
        for sampler in samplers:
            sampler(labels, probs)
            times = [seconds(partial(sampler, labels, probs)) for _ in range(repeats)]
            share = statistics.median(times) / shape.num_images / step
            met = "yes" if share <= SHARE_OF_STEP_LIMIT else "NO"
            rows.append(
                f"| {type(sampler).__name__} | {shape} | {1e3 * statistics.median(times):.2f} | "
                f"{1e3 * step:.0f} | {100 * share:.3f} % | {met} |"
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=31, help="of each side (default 31)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default 2)")
    parser.add_argument("--no-steps", action="store_true", help="leave out the training steps")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="compare processor time instead; with --threads 1, for machines that do other work",
    )
    arguments = parser.parse_args()
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)

    print(
        "| ours / theirs | batch | ours, ms | theirs, ms | ratio (quartiles) | ratio of the "
        "fastest | target |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    ssd300, ssdlite, retinanet = SHAPES
    for shape in SHAPES:
        for comparison in sampler_comparisons(shape):
            print(compare(comparison, arguments.repeats, clock), flush=True)
    for shape, target in ((ssd300, 12.0), (ssdlite, None), (retinanet, 25.0)):
        print(compare(mask_comparison(shape, target), arguments.repeats, clock), flush=True)
    for num_classes in (20, 80):
        comparison = loss_comparison(ssd300, num_classes, target=2.5)
        print(compare(comparison, arguments.repeats, clock), flush=True)
    if not arguments.no_steps:
        print("\n| sampler | batch | ms | step, ms per image | share | at most 2 % |")
        print("| --- | --- | --- | --- | --- | --- |")
        print("\n".join(shares_of_a_step(arguments.repeats)))


if __name__ == "__main__":
    main()
