from datetime import UTC, datetime

import pytest
from pydantic import BaseModel, ValidationError

from hardneg.schemas import training_runs
from hardneg.schemas.stats import Iteration
from hardneg.schemas.training_runs import RetrainFields, RetrainRequest, TrainingRunOut
from models.detectors import spec

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RUN = {
    "id": 3,
    "job_id": 7,
    "iteration": 1,
    "model_version_id": 2,
    "params": {},
    "num_labelled": 20,
    "num_kept": 0,
    "num_mined": 5,
    "holding": None,
    "recipes": None,
    "history": [],
    "reason": "no version served before",
    "created_at": NOW,
    "finished_at": NOW,
}
ITERATION = {
    "model_version_id": 2,
    "model_version": "v2",
    "is_serving": True,
    "job_id": 7,
    "iteration": 1,
    "strategy": "hard",
    "num_mined": 5,
    "num_negatives": 5,
    "reason": "no version served before",
    "figures": None,
    "evaluated_at": None,
    "created_at": NOW,
}


def test_retrain_request_has_the_input_sizes_of_the_detectors() -> None:
    bounds = training_runs.MIN_INPUT_SIDE, training_runs.MAX_INPUT_SIDE

    assert bounds == (spec.MIN_INPUT_SIDE, spec.MAX_INPUT_SIDE)


def test_retrain_takes_every_field_of_its_request_as_a_keyword() -> None:
    assert RetrainFields.__annotations__.keys() == RetrainRequest.model_fields.keys()


def test_retrain_request_reads_the_old_name_of_the_backbone_rate_factor() -> None:
    request = RetrainRequest.model_validate({"trunk_rate_factor": 0.2})

    assert request.backbone_rate_factor == 0.2
    assert RetrainRequest.model_validate(request.model_dump()) == request


def test_retrain_request_refuses_old_and_new_name_together() -> None:
    with pytest.raises(ValidationError, match="trunk_rate_factor"):
        RetrainRequest.model_validate({"trunk_rate_factor": 0.2, "backbone_rate_factor": 0.3})


@pytest.mark.parametrize(("schema", "rest"), [(TrainingRunOut, RUN), (Iteration, ITERATION)])
def test_renamed_fields_are_read_and_answered_under_both_names(
    schema: type[BaseModel], rest: dict[str, object]
) -> None:
    new_names = {"parent_version_id": 1, "decision": "promoted"}
    old_names = {"start_version_id": 1, "verdict": "promoted"}

    answers = [schema.model_validate(rest | names).model_dump() for names in (new_names, old_names)]

    assert answers == [rest | new_names | old_names] * 2


@pytest.mark.parametrize("schema", [TrainingRunOut, Iteration])
def test_old_names_are_marked_as_deprecated(schema: type[BaseModel]) -> None:
    fields = schema.model_json_schema(mode="serialization")["properties"]

    deprecated = {name for name, field in fields.items() if field.get("deprecated")}
    assert deprecated == {"start_version_id", "verdict"}
