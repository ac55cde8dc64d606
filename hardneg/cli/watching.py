"""Waiting for a job at the terminal, which Ctrl-C leaves without ending the job."""

import sys
from typing import TYPE_CHECKING

import typer

from hardneg.cli.failure import fail

if TYPE_CHECKING:
    from hardneg.client import Client
    from hardneg.schemas.jobs import JobDetail

INTERRUPTED = 130  # the exit code that shells give to a process ended by Ctrl-C


def watch(client: "Client", job_id: int, again: str) -> "JobDetail":
    """Show a job until it is over; `again` is the command that shows it once more."""
    from hardneg.display.job_watch import watch_job
    from hardneg.display.progress import job_progress

    try:
        with job_progress() as progress:
            return watch_job(client, job_id, progress)
    except KeyboardInterrupt:
        _leave(client, job_id, again)
        raise typer.Exit(INTERRUPTED) from None


def _leave(client: "Client", job_id: int, again: str) -> None:
    if sys.stdin.isatty() and typer.confirm(f"\nCancel job {job_id}?", err=True):
        client.cancel_job(job_id)
        typer.echo(f"job {job_id} will stop after its current step", err=True)
        return
    typer.echo(
        f"\njob {job_id} goes on; to watch it again:  {again}\n"
        f"to cancel it:  curl -X POST {client.url}/jobs/{job_id}/cancel",
        err=True,
    )


def require_done(job: "JobDetail") -> None:
    """End the command with the reason if a job failed or was cancelled."""
    if job.status != "done":
        fail(f"job {job.id} is {job.status}" + (f": {job.failure}" if job.failure else ""))
