"""
What the ranked list and the statistics cost in a small and in a large pool.

Builds a database with 10,000 scores and one with many more, asks both in turns, and prints the
ratio of the large one's time to the small one's: `python -m benchmarks.ranking --rows 10000000`.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from benchmarks.score_databases import BACKENDS, score_database
from hardneg.schemas.hard_negatives import VerdictFilter
from models.detectors.detections import Detections
from models.inference.predict import Prediction
from service.db import commit_unflushed, open_sessions, read_only
from service.hard_negatives import service as hard_negatives
from service.hard_negatives.cursor import Cursor
from service.hard_negatives.views import page_json
from service.scoring import store as score_store
from service.scoring.results import ScoreResult
from service.serving.rescan_order import RANGE
from service.stats import service as stats
from service.tables import Detection, Image, ImageScore

SMALL = 10_000
PAGE = 10
DEEP_PAGE = 10_000
WRITE_BATCH = 2000
NUM_WRITTEN = 20_000
SEALED = (1000, 10_000)
NUM_UNSCORED = 10

Question = Callable[[Session], object]


def ranked(cursor: str | None = None, **filters: object) -> Question:
    """Read a page of ten with these filters."""
    asked: dict[str, object] = dict.fromkeys(
        ("model_version", "min_score", "max_score", "label", "source", "verdict", "trained")
    )
    asked |= filters

    def ask(session: Session) -> object:
        page = hard_negatives.list_hard_negatives(session, n=PAGE, cursor=cursor, **asked)  # type: ignore[arg-type]
        return page_json(page)

    return ask


QUESTIONS: dict[str, Question] = {
    "GET /hard-negatives?n=10": ranked(),
    "verdict=any": ranked(verdict=VerdictFilter.ANY),
    "verdict=negative": ranked(verdict=VerdictFilter.NEGATIVE),
    "verdict=unsure (no image)": ranked(verdict=VerdictFilter.UNSURE),
    "verdict=none": ranked(verdict=VerdictFilter.NONE),
    "min_score=0.5": ranked(min_score=0.5),
    "max_score=0.01": ranked(max_score=0.01),
    "label=dog": ranked(label="dog"),
    "label=fox (20 images)": ranked(label="fox"),
    "source=site-3": ranked(source="site-3"),
    "source=site-9 (easy images)": ranked(source="site-9"),
    "source=rare (20 images)": ranked(source="rare"),
    "source=unknown": ranked(source="nowhere"),
    "source=site-3, label=dog": ranked(source="site-3", label="dog"),
    "trained=true": ranked(trained=True),
    "trained=false": ranked(trained=False),
    "counts": lambda session: (
        score_store.count_images(session, "pool"),
        score_store.count_scored(session, 1, "pool"),
    ),
    "what is unscored": lambda session: score_store.unscored_images(
        session, 1, after_id=0, limit=100
    ),
    "GET /stats/false-detections": lambda session: stats.report_false_detections(
        session, None, 0.5
    ).model_dump_json(),
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Times of one question in seconds, the same number of them on both sides."""

    name: str
    base: list[float]
    other: list[float]

    def line(self) -> str:
        ratios = [b / a for a, b in zip(self.base, self.other, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        base, other = (statistics.median(times) * 1000 for times in (self.base, self.other))
        return f"{self.name:32} {base:9.3f} {other:9.3f} {middle:8.2f}  {low:.2f}-{high:.2f}"


def compare(
    name: str,
    sides: tuple[Engine, Question],
    others: tuple[Engine, Question],
    repeats: int,
    budget_s: float,
) -> Comparison:
    """In turns, after one round that does not count; at least five times."""
    times: tuple[list[float], list[float]] = ([], [])
    started = time.perf_counter()
    for turn in range(repeats + 1):
        for (engine, question), side in zip((sides, others), times, strict=True):
            with open_sessions(read_only(engine)).begin() as session:
                begun = time.perf_counter()
                question(session)
                seconds = time.perf_counter() - begun
            if turn:
                side.append(seconds)
        if turn >= 5 and time.perf_counter() - started > budget_s:
            break
    return Comparison(name, *times)


def deep_page(engine: Engine) -> Question:
    """Page 10,000 by the cursor that page 9,999 has given."""
    rank = PAGE * (DEEP_PAGE - 1)
    with open_sessions(read_only(engine)).begin() as session:
        key, image_id = session.execute(
            select(ImageScore.ranking_key, ImageScore.image_id)
            .where(
                ImageScore.model_version_id == 1,
                ImageScore.split == "pool",
                ImageScore.ranking_key.is_not(None),
            )
            .order_by(ImageScore.ranking_key, ImageScore.image_id)
            .offset(rank - 1)
            .limit(1)
        ).one()
    assert key is not None
    return ranked(Cursor(1, key, image_id, rank).encode())


def write_rate(engine: Engine, last_id: int) -> float:
    """
    Rows a second of a rescan's own writer, into indexes that hold all the other images.

    The median of ten batches: of the newest images, at most half of all, as often as it takes.
    """
    sessions = open_sessions(engine)
    num_batches = min(NUM_WRITTEN, last_id // 2) // WRITE_BATCH
    first_id = last_id - num_batches * WRITE_BATCH + 1
    batches = [_scores(first) for first in range(first_id, last_id + 1, WRITE_BATCH)]
    rates: list[float] = []
    while len(rates) < NUM_WRITTEN // WRITE_BATCH:
        with sessions.begin() as session:
            for table in (Detection, ImageScore):
                session.execute(delete(table).where(table.image_id >= first_id))
        for batch in batches:
            begun = time.perf_counter()
            with sessions.begin() as session:
                commit_unflushed(session)
                score_store.save_scores(session, 1, batch)
            rates.append(len(batch) / (time.perf_counter() - begun))
    return statistics.median(rates)


def sweep_seconds(engine: Engine, last_id: int) -> tuple[float, float]:
    """To find the few unscored images among all, as a sweep does; its longest transaction."""
    unscored = range(last_id // NUM_UNSCORED // 2, last_id, last_id // NUM_UNSCORED)
    with open_sessions(engine).begin() as session:
        for table in (Detection, ImageScore):
            session.execute(delete(table).where(table.image_id.in_(unscored)))
    times: list[float] = []
    found: list[Image] = []
    for after_id in range(0, last_id, RANGE):
        with open_sessions(read_only(engine)).begin() as session:
            begun = time.perf_counter()
            found += score_store.unscored_images(
                session, 1, after_id=after_id, until_id=after_id + RANGE, limit=PAGE
            )
            times.append(time.perf_counter() - begun)
    assert [image.id for image in found] == list(unscored)
    return sum(times), max(times)


def _scores(first: int) -> dict[int, ScoreResult]:
    """Scores anywhere in the ranking; one image in ten has a detection."""
    results: dict[int, ScoreResult] = {}
    for image_id in range(first, first + WRITE_BATCH):
        log_odds = (image_id * 2654435761 % 2**32) / 2**32 * 12 - 12
        score = 1 / (1 + math.exp(-log_odds))
        count = int(image_id % 10 == 0)
        found = Detections(
            torch.tensor([[10.0, 20.0, 110.0, 120.0]])[:count],
            torch.tensor([score])[:count],
            torch.ones(count, dtype=torch.int64),
        )
        results[image_id] = Prediction(score, log_odds, found)
    return results


def compare_sealed(backend: str, repeats: int, budget_s: float) -> Comparison:
    """Measure the statistics with ten times as many sealed images."""
    ask = QUESTIONS["GET /stats/false-detections"]
    few, many = SEALED
    with score_database(backend, SMALL, few) as one, score_database(backend, 2 * many, many) as two:
        name = f"the same, {few:,}, {many:,} sealed"
        return compare(name, (one, ask), (two, ask), repeats, budget_s)


def run(backend: str, num_scores: int, repeats: int, budget_s: float) -> None:
    started = time.perf_counter()
    with score_database(backend, SMALL) as small, score_database(backend, num_scores) as large:
        print(f"\n{backend}: built {num_scores:,} in {time.perf_counter() - started:.0f} s")
        print(f"{'':32} {SMALL:>7,} ms {'large ms':>9} {'ratio':>8}  quartiles")
        for name, question in QUESTIONS.items():
            print(
                compare(name, (small, question), (large, question), repeats, budget_s).line(),
                flush=True,
            )
        print(compare_sealed(backend, repeats, budget_s).line(), flush=True)
        page_1, page_deep = QUESTIONS["GET /hard-negatives?n=10"], deep_page(large)
        name = f"page 1, page {DEEP_PAGE:,}"
        print(compare(name, (large, page_1), (large, page_deep), repeats, budget_s).line())
        for engine, size in ((small, SMALL), (large, num_scores)):
            print(f"written rows/s at {size:,}: {write_rate(engine, size):,.0f}", flush=True)
            total, longest = sweep_seconds(engine, size)
            print(
                f"sweep for {NUM_UNSCORED} unscored among {size:,}: {total:.3f} s, "
                f"its longest transaction {longest:.3f} s",
                flush=True,
            )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--backend", choices=BACKENDS, action="append")
    parser.add_argument("--repeats", type=int, default=51)
    parser.add_argument("--budget", type=float, default=2.0, help="seconds for one question")
    options = parser.parse_args(arguments)
    for backend in options.backend or BACKENDS:
        run(backend, options.rows, options.repeats, options.budget)


if __name__ == "__main__":
    main()
