import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from models.data.datasets import ImageCache, LabelledImage, Sample, negatives_in, shrink
from models.data.ground_truth import GroundTruth
from models.data.images import UnreadableImageError


def png(width: int, height: int) -> bytes:
    return encoded(width, height, "PNG")


def encoded(width: int, height: int, file_format: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (width, height), (200, 10, 10)).save(content, file_format)
    return content.getvalue()


class CountingReader:
    def __init__(self, data: bytes) -> None:
        self.data, self.num_reads = data, 0

    def __call__(self) -> bytes:
        self.num_reads += 1
        return self.data


def test_boxes_shrink_with_their_image() -> None:
    truth = GroundTruth(torch.tensor([[10.0, 20.0, 100.0, 60.0]]), torch.tensor([1]))
    image = torch.zeros(3, 100, 200, dtype=torch.uint8)

    small = shrink(Sample(image, truth), 50)

    assert small.image.shape == (3, 25, 50)
    torch.testing.assert_close(small.truth.boxes, torch.tensor([[2.5, 5.0, 25.0, 15.0]]))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_boxes_shrink_with_a_file_decoded_at_any_scale(file_format: str) -> None:
    truth = GroundTruth(torch.tensor([[100.0, 200.0, 1000.0, 600.0]]), torch.tensor([1]))
    image = LabelledImage("a", lambda: encoded(2000, 1000, file_format), truth)

    sample = ImageCache([image], max_side=50)[0]

    assert sample.image.shape == (3, 25, 50)
    torch.testing.assert_close(sample.truth.boxes, torch.tensor([[2.5, 5.0, 25.0, 15.0]]))


def test_small_images_are_not_enlarged() -> None:
    sample = Sample(torch.zeros(3, 10, 20, dtype=torch.uint8), GroundTruth.empty())

    assert shrink(sample, 50) is sample


def test_an_image_is_read_once_while_it_fits() -> None:
    reader = CountingReader(png(20, 10))
    cache = ImageCache([LabelledImage.negative("a", reader)], max_side=50)

    first, second = cache[0], cache[0]

    assert reader.num_reads == 1
    assert first is second
    assert first.image.shape == (3, 10, 20)
    assert first.truth.boxes.shape == (0, 4)


def test_images_beyond_the_capacity_are_read_again() -> None:
    readers = [CountingReader(png(20, 10)), CountingReader(png(20, 10))]
    images = [LabelledImage.negative(str(index), reader) for index, reader in enumerate(readers)]
    cache = ImageCache(images, max_side=50, capacity_bytes=700)  # one image has 600 bytes

    for index in (0, 1, 0, 1):
        assert cache[index].image.shape == (3, 10, 20)

    assert [reader.num_reads for reader in readers] == [1, 2]


def test_a_damaged_image_raises_unreadable_image_error() -> None:
    cache = ImageCache([LabelledImage.negative("a", lambda: png(20, 10)[:40])], max_side=50)

    with pytest.raises(UnreadableImageError):
        cache[0]


def test_a_folder_gives_its_images_in_order_as_negatives(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "notes.txt"):
        (tmp_path / name).write_bytes(png(5, 5))

    images = negatives_in(tmp_path)

    assert [image.name for image in images] == ["a.png", "b.png"]
    assert len(images[0].truth) == 0


def test_ground_truth_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        GroundTruth(torch.zeros(4), torch.tensor([1]))
