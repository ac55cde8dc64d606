"""The ranks that the hold rule presumes to hold no object."""

from service.holding.evidence import MAX_RANK, NUM_FAR, NUM_HARDEST, NUM_NEAR, split_ranking


def test_large_ranking_has_near_ranks_and_others_spread_over_the_rest() -> None:
    hardest, near, far = split_ranking(range(MAX_RANK))

    assert hardest == list(range(100))
    assert near == list(range(100, 250))
    assert len(far) == 100
    assert (far[0], far[1] - far[0], far[-1]) == (250, 197, 19_802)


def test_small_ranking_is_split_in_the_same_proportions() -> None:
    hardest, near, far = split_ranking(range(50))

    assert (len(hardest), len(near), len(far)) == (20, 18, 12)
    assert [*hardest, *near, *far] == list(range(50))


def test_ranking_of_just_the_limits_leaves_nothing_out() -> None:
    ranked = range(NUM_HARDEST + NUM_NEAR + NUM_FAR)
    hardest, near, far = split_ranking(ranked)

    assert [*hardest, *near, *far] == list(ranked)


def test_empty_ranking_has_no_parts() -> None:
    assert split_ranking([]) == ([], [], [])
