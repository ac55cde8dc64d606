"""What the experiment stores and reports; running it takes an hour and the raccoon pack."""

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks.experiment import RoundResult, read_results, results_file
from benchmarks.experiment_report import draw_figure, markdown_table, seed_table


def result(arm: str, number: int, seed: int = 0, false_detections: int = 100) -> RoundResult:
    return RoundResult(
        arm=arm,
        seed=seed,
        round=number,
        ap50_95=0.6,
        ap50=0.9,
        recall_50=0.8,
        false_detections_30=2 * false_detections,
        false_detections_50=false_detections,
        fppi_at_baseline_recall=None if arm == "random" else false_detections / 200,
        curve=((0.3, 0.9, 2 * false_detections), (0.5, 0.8, false_detections)),
        mined=("a.jpg",),
        duration_s=1.5,
    )


def test_a_result_comes_back_and_a_line_cut_off_is_left_out(tmp_path: Path) -> None:
    line = json.dumps(dataclasses.asdict(result("hard", 1)))
    results_file(tmp_path).write_text(f"{line}\n{line[:40]}")

    assert read_results(tmp_path) == [result("hard", 1)]


def test_no_results_yet_are_none(tmp_path: Path) -> None:
    assert read_results(tmp_path) == []


def test_the_table_gives_means_with_intervals_in_the_order_of_arms() -> None:
    rows = [result("hard", 1, seed, count) for seed, count in enumerate((8, 10, 12))]

    lines = markdown_table([*rows, result("baseline", 0)]).splitlines()

    # 4.303 · 2 / sqrt(3): Student's t for two degrees of freedom.
    assert lines[2].startswith("| baseline | 0 | 1 | 0.600 |")
    assert lines[3].startswith("| hard | 1 | 3 | 0.600 ± 0.000 |")
    assert "| 10.0 ± 5.0 |" in lines[3]


def test_a_recall_out_of_reach_is_said() -> None:
    assert seed_table([result("random", 1)]).endswith("| out of reach |")


@pytest.mark.parametrize("rounds", [0, 2])
def test_the_figure_can_be_drawn_at_any_stage(tmp_path: Path, rounds: int) -> None:
    rows = [result("baseline", 0)]
    rows += [result(arm, n + 1) for arm in ("hard", "random", "control") for n in range(rounds)]

    draw_figure(rows, tmp_path / "figure.svg")

    assert "AP@[.5:.95] on val" in (tmp_path / "figure.svg").read_text()
