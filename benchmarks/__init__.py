"""Benchmarks and experiments, in processes set up as the service's own."""

import os

from models.process import tune_process

NOTEBOOK_ENVIRONMENT = dict(os.environ)  # what others' programs are compared in
tune_process()
