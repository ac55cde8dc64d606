"""The kinds of jobs that a worker runs."""

from service.families.job import GROUP
from service.holding.job import HOLD_TEST
from service.imports.job import IMPORT
from service.scans.job import SCAN
from service.training_runs.job import RETRAIN
from service.version_uploads.job import MEASURE

KINDS = (IMPORT, RETRAIN, MEASURE, HOLD_TEST, GROUP, SCAN)
