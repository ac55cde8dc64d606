"""The map of look-alikes as clients see it."""

import orjson

from service.look_alikes.service import ShownMap


def map_json(shown: ShownMap) -> bytes:
    """Write the JSON of a `LookAlikeMap` from the rows; models would take several times longer."""
    return orjson.dumps(
        {
            "model_version": shown.version.name,
            "num_points": shown.num_points,
            "items": [point._asdict() for point in shown.points],
        }
    )
