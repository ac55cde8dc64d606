"""The import job: store the files of a source window by window, and count them."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import islice
from tempfile import TemporaryFile

from service.images.ingest import IngestedFile, UploadedFile, ingest
from service.images.storing import Destination
from service.imports.archives import open_archive
from service.imports.entries import Entry, Limits, Source, UnreadableEntry, UnreadableSource
from service.imports.places import check_allowed, open_place
from service.imports.schemas import ImportParams, Tally
from service.jobs.kind import JobResult
from service.jobs.resources import job_resources
from service.jobs.running import RunningJob
from service.scoring.resources import Resources
from service.text import plain_file_name

WINDOWS = 2  # of the scorer, read before the tally is saved: ingest overlaps their stages
WINDOW_BYTES = 64 * 1024**2  # a window ends early here, after the file that reaches it


def run_import(job: RunningJob) -> JobResult:
    """
    Store the images of an archive, a folder or a bucket; images that are stored already count.

    After a worker has died, the next attempt resumes after the last window that it saved. The
    API's backlog scores the images.
    """
    params = ImportParams.model_validate(job.params)
    tally = Tally.model_validate(job.resume or {})
    with job_resources(job, job.sessions) as resources, _open_source(job, params) as source:
        _store_all(job, resources, params, source, tally)
    return tally.model_dump(mode="json")


def _store_all(
    job: RunningJob, resources: Resources, params: ImportParams, source: Source, tally: Tally
) -> None:
    destination = Destination(params.split, params.source, job.settings.seal_fraction)
    entries = islice(source.entries, tally.seen, None)
    while window := _read_window(entries, WINDOWS * resources.scorer.window, tally):
        job.raise_if_stopped()
        uploaded = [file for file in window if file is not None]
        for file in ingest(resources, uploaded, destination):
            _count(tally, file)
        tally.seen += len(window)
        job.save_resume(tally.model_dump(mode="json"))
        job.progress("importing", tally.seen, source.num_entries)


def _read_window(entries: Iterator[Entry], size: int, tally: Tally) -> list[UploadedFile | None]:
    """Read the next files; None stands for a file that cannot be read, which is refused."""
    window: list[UploadedFile | None] = []
    num_bytes, name = 0, ""
    try:
        for entry in islice(entries, size):
            name = plain_file_name(entry.name)
            content = _read(entry, name, tally)
            window.append(None if content is None else UploadedFile(name, BytesIO(content)))
            num_bytes += len(content or b"")
            if num_bytes >= WINDOW_BYTES:
                break
    except UnreadableSource as error:
        tally.refuse(name, f"no further file is read: {error}")
        window.append(None)
    return window


def _read(entry: Entry, name: str, tally: Tally) -> bytes | None:
    try:
        return entry.read()
    except UnreadableEntry as error:
        tally.refuse(name, str(error))
        return None


def _count(tally: Tally, file: IngestedFile) -> None:
    if file.error is not None:
        tally.refuse(file.file_name, file.error.detail)
    elif file.is_new:
        tally.stored += 1
    else:
        tally.known += 1


@contextmanager
def _open_source(job: RunningJob, params: ImportParams) -> Iterator[Source]:
    settings = job.settings
    limits = Limits(settings.max_body_bytes, settings.max_import_bytes, settings.max_import_files)
    if params.uri is not None:
        check_allowed(params.uri, settings)
        yield open_place(params.uri, limits)
        return
    assert params.upload_key is not None
    with TemporaryFile() as file:  # without a name: nothing is left when the worker is killed
        for chunk in job.blobs.stream(params.upload_key):
            file.write(chunk)
        with open_archive(file, limits) as source:
            yield source
