"""`hardneg worker`: one more worker for the service's jobs."""

from typing import Annotated

import typer

from hardneg.cli.failure import fail
from hardneg.cli.service_settings import DatabaseUrlOption, DataDirOption, load_service_settings


def worker(
    data_dir: DataDirOption = None,
    database_url: DatabaseUrlOption = None,
    lanes: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Run only jobs of these lanes, separated by commas. With `scan`, help all scans, "
            "too. Default: all lanes.",
        ),
    ] = None,
    exit_when_idle: Annotated[
        float | None,
        typer.Option(metavar="S", min=1, help="End after so many seconds without work."),
    ] = None,
) -> None:
    """
    Run one more worker for the service's jobs.

    It needs the same database and blobs as `hardneg serve`, which starts one worker by itself.
    Ctrl-C or SIGTERM stops it as soon as the state of its job is saved; another worker continues
    the job.

    A worker of the lane `scan` scores images for whoever has many of them to score: a scan, a
    retraining, or the service after an activation. Start one for each GPU, on any machine.

    \b
    Examples:
      hardneg worker --database-url postgresql://hardneg@db/hardneg
      hardneg worker --lanes scan
    """
    settings = load_service_settings({"data_dir": data_dir, "database_url": database_url})
    from service.worker.kinds import KINDS

    named = [name.strip() for name in (lanes or "").split(",") if name.strip()]
    known = sorted({kind.lane for kind in KINDS})
    unknown = [name for name in named if name not in known]
    if unknown:
        fail(f"there is no lane '{unknown[0]}': the lanes are {', '.join(known)}")
    from models.process import tune_process

    tune_process()
    from service.worker.loop import run_worker

    run_worker(settings, lanes=named, exit_when_idle_s=exit_when_idle)
