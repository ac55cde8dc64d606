"""`hardneg worker`: one more worker for the service's jobs."""

from hardneg.cli.service_settings import DatabaseUrlOption, DataDirOption, load_service_settings


def worker(data_dir: DataDirOption = None, database_url: DatabaseUrlOption = None) -> None:
    """
    Run one more worker for the service's jobs.

    It needs the same database and blobs as `hardneg serve`, which starts one worker by itself.
    Ctrl-C or SIGTERM stops it as soon as the state of its job is saved; another worker continues
    the job.

    \b
    Example: hardneg worker --database-url postgresql://hardneg@db/hardneg
    """
    from models.process import tune_process

    tune_process()
    settings = load_service_settings({"data_dir": data_dir, "database_url": database_url})
    from service.worker.loop import run_worker

    run_worker(settings)
