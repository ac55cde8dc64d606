"""Images on their way to a detector, through the pixel cache."""

from models.data.images import DecodedFile, decode_file
from models.detectors.detector import PreparedImage
from models.detectors.scoring import ScoringDetector
from models.inference.pixel_entries import PixelEntry, entry_kind
from service.pixel_cache import PixelCache
from service.scoring.resources import Resources
from service.tables import Image

# An entry of an ordinary small image is larger than its file. Uploads, which someone waits for,
# leave it to the first rescan.
MIN_SHRINKAGE = 4  # pixels of the original to one of the entry


def prepare_stored(resources: Resources, detector: ScoringDetector, image: Image) -> PreparedImage:
    """
    Return what `prepare` returns for a stored image, decoded by whoever needed it first.

    Raises what reading a blob and decoding raise.
    """
    kind = entry_kind(detector)
    entry = kind and resources.pixels.find(kind, image.sha256)
    if entry:
        return entry.prepared(detector)
    content = resources.blobs.get(image.blob_key)
    max_pixels = image.width * image.height
    decoded = decode_file(content, detector.decode_size, max_pixels=max_pixels)
    prepared = detector.preprocess(decoded.pixels, original_size(decoded))
    if kind is not None:
        resources.pixels.keep(kind, image.sha256, PixelEntry.of(decoded.pixels, prepared))
    return prepared


def keep_new(
    pixels: PixelCache,
    detector: ScoringDetector,
    sha256: str,
    decoded: DecodedFile,
    prepared: PreparedImage,
) -> None:
    """Keep the pixels of an image that is about to be stored, where that saves much."""
    kind, entry = entry_kind(detector), PixelEntry.of(decoded.pixels, prepared)
    num_pixels = entry.pixels.shape[1] * entry.pixels.shape[2]
    if kind and decoded.header.width * decoded.header.height >= MIN_SHRINKAGE * num_pixels:
        pixels.keep(kind, sha256, entry)


def original_size(decoded: DecodedFile) -> tuple[int, int]:
    """Return the (height, width) of the upright image."""
    return decoded.header.height, decoded.header.width
