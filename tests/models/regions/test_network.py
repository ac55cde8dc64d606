import numpy as np
import pytest
import torch

from models.data.images import decode
from models.regions.network import MAX_SIDE, VECTOR_LENGTH, RegionNetwork
from tests.scenes import BLUE, RED, encoded, scene


@pytest.fixture(scope="module")
def network() -> RegionNetwork:
    return RegionNetwork()


def vectors_of(network: RegionNetwork, seed: int, colour: tuple[int, int, int]) -> torch.Tensor:
    pixels, box = scene(seed, colour)
    return network.describe_file(encoded(pixels), torch.tensor([box]).float()).regions.float()


def test_vectors_have_unit_length_and_both_strides_weigh_the_same(network: RegionNetwork) -> None:
    vectors = vectors_of(network, 1, RED)

    assert vectors.shape == (1, VECTOR_LENGTH)
    assert vectors[:, :112].norm() == pytest.approx(0.5**0.5, abs=1e-3)
    assert vectors[:, 112:].norm() == pytest.approx(0.5**0.5, abs=1e-3)


def test_equal_things_elsewhere_have_more_similar_vectors(network: RegionNetwork) -> None:
    first, same, other = (vectors_of(network, *args) for args in ((1, RED), (2, RED), (3, BLUE)))

    assert (first * same).sum() > (first * other).sum() + 0.05


def test_vector_of_a_box_does_not_depend_on_other_boxes(network: RegionNetwork) -> None:
    pixels = torch.from_numpy(scene(1, RED)[0]).permute(2, 0, 1)
    boxes = torch.tensor([[10.0, 20.0, 90.0, 120.0], [0.0, 0.0, 30.0, 30.0]])

    together = network.vectors(pixels, boxes)
    alone = torch.cat([network.vectors(pixels, box[None]) for box in boxes])

    assert torch.equal(together, alone)


def test_box_without_area_or_outside_of_the_image_has_a_vector(network: RegionNetwork) -> None:
    pixels = torch.from_numpy(scene(1, RED)[0]).permute(2, 0, 1)
    boxes = torch.tensor(
        [[50.0, 50.0, 50.0, 50.0], [-500.0, -500.0, -400.0, -400.0], [900.0, 900.0, 950.0, 950.0]]
    )

    vectors = network.vectors(pixels, boxes).float()

    assert vectors.norm(dim=1).tolist() == pytest.approx([1, 1, 1], abs=1e-3)


def test_small_box_is_seen_with_its_surroundings(network: RegionNetwork) -> None:
    pixels = torch.from_numpy(scene(1, RED)[0]).permute(2, 0, 1)

    small, wide = network.vectors(
        pixels, torch.tensor([[78.0, 78.0, 82.0, 82.0], [48.0, 48.0, 112.0, 112.0]])
    )

    assert torch.equal(small, wide)


def test_large_file_is_decoded_smaller_and_gives_nearly_the_same_vector(
    network: RegionNetwork,
) -> None:
    pixels, box = scene(4, RED)
    large = np.kron(pixels, np.ones((16, 16, 1), np.uint8))
    assert box is not None
    boxes = torch.tensor([box]).float() * 16
    data = encoded(large, "JPEG")

    from_file = network.describe_file(data, boxes).regions.float()
    from_pixels = network.vectors(decode(data), boxes).float()

    assert max(large.shape) > 4 * MAX_SIDE
    assert (from_file * from_pixels).sum() > 0.99


def test_digest_is_the_same_for_every_instance(network: RegionNetwork) -> None:
    assert len(network.digest) == 64
    assert RegionNetwork().digest == network.digest


@pytest.mark.parametrize("boxes", [torch.zeros(4), torch.full((1, 4), torch.nan)])
def test_boxes_of_another_shape_or_not_finite_are_refused(
    network: RegionNetwork, boxes: torch.Tensor
) -> None:
    with pytest.raises(ValueError, match="finite and of shape"):
        network.vectors(torch.zeros(3, 64, 64, dtype=torch.uint8), boxes)


def test_no_boxes_give_no_vectors(network: RegionNetwork) -> None:
    vectors = network.vectors(torch.zeros(3, 64, 64, dtype=torch.uint8), torch.zeros(0, 4))

    assert vectors.shape == (0, VECTOR_LENGTH)
