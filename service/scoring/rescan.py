"""Stored images through a detector, and what it makes of them into the database."""

from collections.abc import Sequence

from models.detectors import PreparedImage
from models.images import UnreadableImageError
from models.inference import Prediction
from models.inference import prepare as prepare_image
from service.blobs import BlobStore
from service.db import Sessions
from service.scoring import store
from service.scoring.engine import LoadedVersion
from service.scoring.scorer import Scorer
from service.tables import Image


def score_stored(
    scorer: Scorer,
    version: LoadedVersion,
    blobs: BlobStore,
    sessions: Sessions,
    images: Sequence[Image],
) -> None:
    """Score images after all that clients wait for, and save; a failure is saved as such."""

    def prepare(image: Image) -> PreparedImage:
        content = blobs.get(image.blob_key)
        return prepare_image(version.detector, content, max_pixels=image.width * image.height)

    results: dict[int, Prediction | store.Failure] = {}
    prepared: dict[int, PreparedImage] = {}
    for image, future in zip(images, scorer.map_decode(prepare, images), strict=True):
        try:
            prepared[image.id] = future.result()
        except (UnreadableImageError, FileNotFoundError) as error:
            results[image.id] = store.Failure(str(error))
    scores = scorer.score(version, list(prepared.values()), rescan=True)
    results.update(zip(prepared, scores, strict=True))
    with sessions.begin() as session:
        store.save_scores(session, version.id, store.scored_images(results))
