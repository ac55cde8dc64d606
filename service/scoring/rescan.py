"""Stored images through a detector, and what it makes of them into the database."""

from collections.abc import Mapping, Sequence

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
    results.update(_score(scorer, version, sessions, images, prepared))
    with sessions.begin() as session:
        store.save_scores(session, version.id, store.scored_images(results))


def _score(
    scorer: Scorer,
    version: LoadedVersion,
    sessions: Sessions,
    images: Sequence[Image],
    prepared: Mapping[int, PreparedImage],
) -> dict[int, Prediction | store.Failure]:
    """Exact scores, but for images of the pool whose quick ones lie far below its top."""
    screen = version.screen
    screened: dict[int, PreparedImage] = {}
    if screen is not None:
        pool = {image.id: image.source for image in images if image.split == "pool"}
        screened = {id_: image for id_, image in prepared.items() if id_ in pool}
    scores = scorer.score(version, list(screened.values()), rescan=True, in_bfloat16=True)
    results = dict(zip(screened, scores, strict=True))
    exact = dict(prepared)
    if screen is not None:
        with sessions.begin() as session:
            last = {
                source: store.log_odds_at_rank(session, version.id, source, screen.exact_top)
                for source in set(pool.values())
            }
        for id_, quick in results.items():
            if not screen.needs_exact(quick, last[pool[id_]]):
                del exact[id_]
    sure = dict(zip(exact, scorer.score(version, list(exact.values()), rescan=True), strict=True))
    if screen is not None:
        screen.learn(results, {id_: score for id_, score in sure.items() if id_ in results})
    return results | sure
