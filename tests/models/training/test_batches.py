import threading

import pytest
import torch

from models.data.augmentation import Augmentation
from models.data.datasets import LabelledImage
from models.data.images import UnreadableImageError
from models.training.batches import (
    PlannedSampler,
    TrainingViews,
    draw_seed,
    load_batches,
    plan_batches,
)
from tests.models.squares import negatives, squares, tiny_detector


def test_every_batch_holds_the_stated_share_of_negatives() -> None:
    plan = plan_batches(10, 7, batch_size=16, negative_share=0.3, seed=0)

    for step in range(40):
        batch = plan.batch(step)
        assert len(batch) == 16
        assert sum(index >= 10 for index in batch) == 5


def test_every_image_of_a_kind_is_used_equally_often() -> None:
    plan = plan_batches(9, 4, batch_size=8, negative_share=0.5, seed=3)

    drawn = [index for step in range(9) for index in plan.batch(step)]

    assert [drawn.count(index) for index in range(9)] == [4] * 9
    assert [drawn.count(index) for index in range(9, 13)] == [9] * 4


def test_one_pass_uses_every_labelled_image() -> None:
    plan = plan_batches(23, 5, batch_size=8, negative_share=0.25, seed=1)

    drawn = {index for step in range(plan.steps_per_pass) for index in plan.batch(step)}

    assert set(range(23)) <= drawn


def test_passes_differ_and_seeds_differ() -> None:
    plan = plan_batches(16, 0, batch_size=16, negative_share=0.3, seed=0)
    other = plan_batches(16, 0, batch_size=16, negative_share=0.3, seed=1)

    assert plan.batch(0) != plan.batch(1)
    assert plan.batch(0) != other.batch(0)
    assert plan.batch(0) == plan.batch(0)


@pytest.mark.parametrize(
    ("num_negatives", "share", "expected"), [(0, 0.5, 0), (5, 0, 0), (5, 0.01, 1), (5, 0.99, 7)]
)
def test_rounding_leaves_room_for_both_kinds(
    num_negatives: int, share: float, expected: int
) -> None:
    plan = plan_batches(5, num_negatives, batch_size=8, negative_share=share, seed=0)

    assert plan.num_negatives_per_batch == expected


@pytest.mark.parametrize("num_processes", [2, 4])
def test_processes_share_a_batch_and_each_gets_both_kinds(num_processes: int) -> None:
    plan = plan_batches(20, 20, batch_size=16, negative_share=0.3, seed=0)
    whole = list(PlannedSampler(plan, range(3)))

    parts = [
        list(PlannedSampler(plan, range(3), process=process, num_processes=num_processes))
        for process in range(num_processes)
    ]

    for step in range(3):
        together = [key for part in parts for key in part[step]]
        assert sorted(together) == sorted(whole[step])
        for part in parts:
            assert len({index < 20 for index, _ in part[step]}) == 2


@pytest.mark.parametrize(
    ("num_labelled", "batch_size", "share"), [(0, 8, 0.3), (5, 1, 0.3), (5, 8, 1.0), (5, 8, -0.1)]
)
def test_impossible_mixes_are_refused(num_labelled: int, batch_size: int, share: float) -> None:
    with pytest.raises(ValueError, match=r"labelled|share|batch_size"):
        plan_batches(num_labelled, 3, batch_size=batch_size, negative_share=share, seed=0)


def test_a_batch_that_processes_cannot_share_is_refused() -> None:
    plan = plan_batches(5, 0, batch_size=9, negative_share=0, seed=0)

    with pytest.raises(ValueError, match="multiple of 2"):
        PlannedSampler(plan, range(1), num_processes=2)


def test_seeds_depend_on_every_part_of_their_key() -> None:
    seeds = {draw_seed(a, b, c) for a in range(4) for b in range(4) for c in range(4)}

    assert len(seeds) == 64
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_views_do_not_depend_on_loader_threads() -> None:
    detector = tiny_detector()
    images = [*squares(4), *negatives(2)]
    plan = plan_batches(4, 2, batch_size=4, negative_share=0.5, seed=0)
    views = TrainingViews(detector, images, Augmentation(), max_side=96)

    alone = list(load_batches(views, PlannedSampler(plan, range(5)), num_threads=0))
    helped = []
    for batch in load_batches(views, PlannedSampler(plan, range(5)), num_threads=3):
        torch.manual_seed(0)  # as a step does: it must not disturb the threads
        helped.append(batch)

    for (ones, targets), (others, other_targets) in zip(alone, helped, strict=True):
        for one, other in zip(ones, others, strict=True):
            assert torch.equal(one.pixels, other.pixels)
        for target, other_target in zip(targets, other_targets, strict=True):
            assert torch.equal(target["boxes"], other_target["boxes"])


def test_closing_the_batches_ends_the_threads() -> None:
    plan = plan_batches(4, 0, batch_size=4, negative_share=0, seed=0)
    views = TrainingViews(tiny_detector(), squares(4), Augmentation(), max_side=96)
    batches = load_batches(views, PlannedSampler(plan, range(100)), num_threads=2)
    next(batches)

    batches.close()

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


def test_damaged_image_ends_the_training() -> None:
    broken = LabelledImage.negative("broken", lambda: b"no image")
    plan = plan_batches(4, 1, batch_size=4, negative_share=0.5, seed=0)
    views = TrainingViews(tiny_detector(), [*squares(4), broken], Augmentation(), max_side=96)

    with pytest.raises(UnreadableImageError):
        list(load_batches(views, PlannedSampler(plan, range(9)), num_threads=2))
