"""
How well are true objects in a pool told from false detections?

    python -m benchmarks.holding --pack ../shared/data/cones --results runs/holding
    python -m benchmarks.holding --pack ../shared/data/raccoon --aside 64 --results runs/holding

It trains a detector on the pack (once; `--checkpoint` takes another), puts images with objects but
without their boxes into the pool, and holds by the rule of `models/regions/hold.py`. The images
with objects are those of the pack's contamination and val folders; `--aside` takes some of train
away, too. At 50 % each comes a second time, mirrored: in a camera's pool, objects return.
Detections and vectors are kept in the results folder.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.raccoon import BASELINE, DEFAULT_PACK, build_detector, read_split
from models.data.datasets import LabelledImage, negatives_in
from models.data.images import decode
from models.detectors import Detector
from models.detectors.checkpoint import load_checkpoint, save_checkpoint
from models.inference.predict import predict
from models.regions.hold import Evidence, HoldRule
from models.regions.network import VECTOR_LENGTH, RegionNetwork
from models.training.loop import train

TOP_DETECTIONS = 3  # as in service/holding/store.py
HARDEST, NEAR, FAR = 100, 150, 100  # as in service/holding/evidence.py
NUM_MINED = 60
REVIEWED_SHARE = 0.2
MIRRORED_FROM = 0.3  # share of objects from which each comes twice


@dataclass(frozen=True, slots=True)
class PoolImage:
    """
    An image as the detector and the region network see it.

    Attributes:
        log_odds: of its highest foreground probability.
        vectors: float32 [1 to 3, 432], of its best detections.
    """

    name: str
    log_odds: float
    vectors: np.ndarray


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that the arms need, computed once."""

    objects: np.ndarray  # of the labelled boxes
    pool: list[PoolImage]
    with_object: list[PoolImage]
    mirrored: list[PoolImage]
    sealed: list[PoolImage]


@dataclass(frozen=True, slots=True)
class HoldResult:
    """One injection; shares are in [0, 1], and NaN where there is nothing to divide by."""

    num_objects: int  # among the first 60 without holding
    auroc: float  # of the decisions on the first 100
    caught: float  # share of the objects in the first 100 that a review of 20 would find
    left: int  # objects among the 60 that are mined
    objects_held: float
    negatives_held: float
    is_trusted: bool


def run(
    results: Annotated[Path, typer.Option(help="Folder that is written to, and resumed from.")],
    pack: Annotated[Path, typer.Option(help="Folder of the pack.")] = DEFAULT_PACK,
    shares: Annotated[
        list[float], typer.Option("--share", min=0, max=0.9, help="Of objects in the pool.")
    ] = [0.0, 0.03, 0.05, 0.12, 0.15, 0.5],  # noqa: B006  # typer makes a list of its own
    labels: Annotated[
        list[int], typer.Option(min=0, help="Labelled boxes that the rule sees; 0: all.")
    ] = [0, 20, 10, 5],  # noqa: B006
    aside: Annotated[int, typer.Option(min=0, help="Images of train to hide in the pool.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Injections of each kind.")] = 5,
    checkpoint: Annotated[Path | None, typer.Option(help="Detector, else one is trained.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Print one row for each share of objects and number of labelled boxes."""
    torch.set_num_threads(threads)
    results.mkdir(parents=True, exist_ok=True)
    seen = see(pack, results, aside, checkpoint)
    typer.echo(
        "| objects | boxes | in top 60 | AUROC | caught | left of 60 | objects held "
        "| negatives held | trusted |\n| --- " + "| --- " * 8 + "|"
    )
    for share in shares:
        for count in labels:
            found = [hold(seen, share, count, seed) for seed in range(seeds)]
            typer.echo(_row(share, count or len(seen.objects), found))


def hold(seen: Seen, share: float, num_labels: int, seed: int) -> HoldResult:
    """Inject objects into the pool, fit the rule, and fill a list of 60."""
    rng = random.Random(seed)
    ranked = inject(seen, share, rng)
    objects = seen.objects
    if num_labels:
        objects = objects[rng.sample(range(len(objects)), num_labels)]
    images = [image for image, _ in ranked]
    is_object = np.array([with_object for _, with_object in ranked])
    rule = fit_rule(objects, images)
    return _result(rule, decisions_of(rule, images), is_object)


def fit_rule(objects: np.ndarray, ranked: Sequence[PoolImage]) -> HoldRule:
    """Fit the rule to labelled objects, float32 [M, 432], and a ranking, as the service does."""
    rest = ranked[HARDEST:]
    far = rest[NEAR:]
    return HoldRule(
        Evidence(
            objects=objects,
            near=_best(rest[:NEAR]),
            far=_best([far[k * len(far) // FAR] for k in range(min(FAR, len(far)))]),
            negatives=np.zeros((0, VECTOR_LENGTH), np.float32),
            hardest=_best(ranked[:HARDEST]),
        )
    )


def decisions_of(rule: HoldRule, images: Sequence[PoolImage]) -> np.ndarray:
    """Decide on images by the highest of their detections' decisions: float [I]."""
    return np.array([rule.decisions(image.vectors).max() for image in images])


def _result(rule: HoldRule, decisions: np.ndarray, is_object: np.ndarray) -> HoldResult:
    mined = np.flatnonzero(decisions <= 0)[:NUM_MINED]
    tested = slice(0, int(mined[-1]) + 1 if len(mined) else None)
    held, truth = decisions[tested] > 0, is_object[tested]
    first, first_truth = decisions[:HARDEST], is_object[:HARDEST]
    reviewed = np.argsort(-first, kind="stable")[: round(REVIEWED_SHARE * HARDEST)]
    catchable = min(len(reviewed), int(first_truth.sum()))
    return HoldResult(
        num_objects=int(is_object[:NUM_MINED].sum()),
        auroc=_auroc(first, first_truth),
        caught=float(first_truth[reviewed].sum()) / catchable if catchable else math.nan,
        left=int(is_object[mined].sum()),
        objects_held=float(held[truth].mean()) if truth.any() else math.nan,
        negatives_held=float(held[~truth].mean()) if (~truth).any() else math.nan,
        is_trusted=rule.trust.is_trusted,
    )


def inject(seen: Seen, share: float, rng: random.Random) -> list[tuple[PoolImage, bool]]:
    """Rank a pool with a share of images with objects; True marks those."""
    available = seen.with_object + (seen.mirrored if share >= MIRRORED_FROM else [])
    count = min(len(available), round(share * len(seen.pool) / (1 - share)))
    others = len(seen.pool) if share == 0 else round(count * (1 - share) / share)
    ranked = [(image, True) for image in rng.sample(available, count)]
    ranked += [(image, False) for image in rng.sample(seen.pool, min(others, len(seen.pool)))]
    return sorted(ranked, key=lambda item: -item[0].log_odds)


def _best(images: Sequence[PoolImage]) -> np.ndarray:
    rows = [image.vectors[:1] for image in images]
    return np.concatenate([np.zeros((0, VECTOR_LENGTH), np.float32), *rows])


def _auroc(decisions: np.ndarray, is_object: np.ndarray) -> float:
    """Return how often an object's decision is above a negative's; equal ones count half."""
    above = decisions[is_object][:, None] - decisions[~is_object][None]
    return float(((above > 0) + 0.5 * (above == 0)).mean()) if above.size else math.nan


def _row(share: float, count: int, found: Sequence[HoldResult]) -> str:
    cells = [
        f"{share:.0%}",
        str(count),
        format(np.mean([r.num_objects for r in found]), ".1f"),
        _mean([r.auroc for r in found], ".3f"),
        _mean([r.caught for r in found], ".2f"),
        _mean([r.left for r in found], ".1f"),
        _mean([r.objects_held for r in found], ".2f"),
        _mean([r.negatives_held for r in found], ".2f"),
        f"{sum(r.is_trusted for r in found)} of {len(found)}",
    ]
    return "| " + " | ".join(cells) + " |"


def _mean(values: Sequence[float], number: str) -> str:
    """Return the mean, and the range if there is one."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "–"
    mean, low, high = (
        format(f(known), number).removeprefix("0" if number != ".1f" else "")
        for f in (np.mean, min, max)
    )
    return mean if low == high else f"{mean} ({low}–{high})"


def see(
    pack: Path, results: Path, aside: int, checkpoint: Path | None, *, hides_val: bool = True
) -> Seen:
    """Detect and describe all images, or read what an earlier run has saved."""
    saved = results / f"{pack.name}.pt"
    if saved.exists():
        seen: Seen = torch.load(saved, weights_only=False)
        return seen
    labelled = read_split(pack, "train")
    images, hidden = set_aside(labelled.images, aside)
    if hides_val:
        hidden += read_split(pack, "val").images
    if (pack / "contamination").exists():
        hidden += negatives_in(pack / "contamination")
    if checkpoint is None:
        checkpoint = results / f"{pack.name}.safetensors"
        _train(labelled.class_names, images, checkpoint)
    view = View(load_checkpoint(checkpoint).eval(), RegionNetwork())
    seen = Seen(
        objects=np.concatenate([view.labelled(image) for image in images]),
        pool=list(view.detected(negatives_in(pack / "pool"))),
        with_object=list(view.detected(hidden)),
        mirrored=list(view.detected(hidden, mirrored=True)),
        sealed=list(view.detected(negatives_in(pack / "negatives_test"))),
    )
    torch.save(seen, saved)
    return seen


def set_aside(
    images: Sequence[LabelledImage], count: int
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Part labelled images into those to train on and those to hide in the pool."""
    shuffled = list(images)
    random.Random(5).shuffle(shuffled)
    return shuffled[: len(shuffled) - count], shuffled[len(shuffled) - count :]


def _train(class_names: Sequence[str], images: Sequence[LabelledImage], path: Path) -> None:
    torch.manual_seed(0)
    detector = build_detector(class_names)
    train(detector, images, [], (), replace(BASELINE, seed=0))
    save_checkpoint(detector, path)


class View:
    """A detector and a region network that look at images together."""

    def __init__(self, detector: Detector, network: RegionNetwork) -> None:
        self._detector, self._network = detector, network

    def labelled(self, image: LabelledImage) -> np.ndarray:
        """Return the vectors of an image's labelled boxes."""
        vectors = self._network.describe_file(image.read(), image.truth.boxes).regions
        return vectors.float().numpy()

    def detected(
        self, images: Sequence[LabelledImage], *, mirrored: bool = False
    ) -> Iterator[PoolImage]:
        """Yield the images on which something is detected."""
        for image in images:
            pixels = decode(image.read())
            if mirrored:
                pixels = pixels.flip(2)
            (found,) = predict(self._detector, [self._detector.preprocess(pixels)])
            boxes = found.detections.boxes[:TOP_DETECTIONS]
            if found.log_odds is not None and len(boxes):
                vectors = self._network.vectors(pixels, boxes).float().numpy()
                yield PoolImage(image.name, found.log_odds, vectors)


if __name__ == "__main__":
    typer.run(run)
