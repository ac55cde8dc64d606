"""Hold tests in words, for the history of a job."""

from collections.abc import Sequence

from service.holding.store import Decided

NAMED_IMAGES = 20  # in one line


def held_of(decided: Sequence[Decided]) -> list[Decided]:
    """Return the images that look like true objects, the most object-like first."""
    held = [image for image in decided if image.decision > 0]
    return sorted(held, key=lambda image: (-image.decision, image.image_id))


def held_text(decided: Sequence[Decided]) -> str:
    """Return how many images look like true objects, and which ones most."""
    held = held_of(decided)
    if not held:
        return f"none of {len(decided)} images looks like a true object"
    names = ", ".join(str(image.image_id) for image in held[:NAMED_IMAGES])
    more = ", …" if len(held) > NAMED_IMAGES else ""
    return f"{len(held)} of {len(decided)} images look like true objects: {names}{more}"


def trust_text(*, is_trusted: bool, reason: str) -> str:
    """Return whether a test is trusted, and why."""
    word = "trusted" if is_trusted else "for review only"
    return f"the hold test is {word}: {reason}"
