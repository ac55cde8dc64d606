"""The test of a version's images for true objects: fitted once, then asked about any of them."""

from collections.abc import Sequence

import numpy as np

from models.regions.hold import Evidence, HoldRule
from models.regions.network import VECTOR_LENGTH, RegionNetwork
from service.holding import store
from service.holding.evidence import EvidenceImages, find_evidence
from service.holding.store import Decided
from service.jobs.running import RunningJob
from service.regions.computing import BoxedImage, region_vectors
from service.scoring.resources import Resources
from service.tables import HoldTest

MAX_SEALED_IMAGES = 500


class HoldTester:
    """
    The hold rule of a version, and the decisions that it was asked for.

    The hardest images are decided on at once.

    Attributes:
        rule: says whether to trust it, and why.
    """

    def __init__(self, job: RunningJob, resources: Resources, version_id: int, stage: str) -> None:
        """
        Fit the rule to labelled objects and to the version's detections.

        `stage` is shown as the job's progress. Raises Stopped; vectors computed so far are stored.
        """
        self._job, self._resources = job, resources
        self._version_id, self._stage = version_id, stage
        self._network = RegionNetwork()
        with resources.read_sessions.begin() as session:
            images = find_evidence(session, version_id)
        self.rule = HoldRule(self._evidence(images))
        self._decided: dict[int, Decided] = {}
        self.decide([image.id for image in images.hardest])

    def decide(self, image_ids: Sequence[int]) -> list[Decided]:
        """
        Return the decisions on images, in their order.

        The decision on an image is that on the detection that looks most like an object. Images
        without a detection, and those that a person has judged, are left out; all are left out if
        the rule has too little evidence to decide anything. Raises Stopped.
        """
        if not self.rule.is_fitted:
            return []
        unknown = [image_id for image_id in image_ids if image_id not in self._decided]
        with self._resources.read_sessions.begin() as session:
            images = store.unjudged_images(session, self._version_id, unknown)
        for image_id, vectors in self._vectors(images).items():
            decisions = self.rule.decisions(vectors)
            position = int(decisions.argmax())
            self._decided[image_id] = Decided(image_id, float(decisions[position]), position)
        return [self._decided[image_id] for image_id in image_ids if image_id in self._decided]

    def decide_sealed(self) -> list[Decided]:
        """Return the decisions on the sealed images that the version finds hardest."""
        with self._resources.read_sessions.begin() as session:
            sealed = store.sealed_ids(session, self._version_id, MAX_SEALED_IMAGES)
        return self.decide(sealed)

    def save(self) -> None:
        """Save the test and its decisions, in place of the version's last ones."""
        test = HoldTest(
            model_version_id=self._version_id,
            network=self._network.digest,
            num_objects=self.rule.num_objects,
            num_presumed_negatives=self.rule.num_presumed,
            is_trusted=self.rule.trust.is_trusted,
            reason=self.rule.trust.reason,
        )
        with self._resources.sessions.begin() as session:
            store.save_test(session, test, list(self._decided.values()))

    def _evidence(self, images: EvidenceImages) -> Evidence:
        return Evidence(
            objects=np.concatenate([self._all(images.labelled), self._all(images.confirmed)]),
            near=self._best(images.near),
            far=self._best(images.far),
            negatives=self._all(images.refuted),
            hardest=self._best(images.hardest),
        )

    def _all(self, images: Sequence[BoxedImage]) -> np.ndarray:
        """Return the vectors of all boxes, [N, 432]."""
        return _stack(list(self._vectors(images).values()))

    def _best(self, images: Sequence[BoxedImage]) -> np.ndarray:
        """Return the vector of the first box of each image, [N, 432]."""
        return _stack([vectors[:1] for vectors in self._vectors(images).values()])

    def _vectors(self, images: Sequence[BoxedImage]) -> dict[int, np.ndarray]:
        return region_vectors(self._resources, self._network, images, self._on_progress)

    def _on_progress(self, num_done: int, num_total: int) -> None:
        self._job.raise_if_stopped()
        self._job.progress(self._stage, num_done, num_total)


def _stack(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros((0, VECTOR_LENGTH), np.float32), *rows])
