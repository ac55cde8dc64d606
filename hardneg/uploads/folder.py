"""Upload of images: a few batches at a time, and an answer for each file."""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import islice
from pathlib import Path

from rich.progress import Progress

from hardneg.client import Client, ClientError
from hardneg.schemas.images import UploadItem
from hardneg.uploads.batches import file_size_bytes, in_batches, send_batch
from hardneg.uploads.image_files import FoundImages, RefusedFile, reason_of


@dataclass(slots=True)
class ImportReport:
    """
    The outcome of an upload of images.

    Attributes:
        num_new: images that the service did not know.
        num_known: images that it knew already.
        num_others: files that were left out, because their names are not those of images.
        refused: files that cannot be read, or that the service refused.
    """

    num_new: int = 0
    num_known: int = 0
    num_others: int = 0
    refused: list[RefusedFile] = field(default_factory=list)

    @property
    def num_images(self) -> int:
        return self.num_new + self.num_known + len(self.refused)


def import_images(
    client: Client,
    found: FoundImages,
    *,
    split: str,
    source: str,
    num_connections: int,
    progress: Progress,
) -> ImportReport:
    """
    Upload images in their order.

    Raises:
        ClientError: The service went away or takes no upload at all. The images that it has
            answered for are stored; it knows them when the import is started again.
    """
    report = ImportReport(num_others=found.num_others, refused=list(found.refused))
    paths = found.paths
    task = progress.add_task("importing", total=len(paths))
    upload = _BatchUpload(client, found, split, source)
    batches = in_batches(paths, file_size_bytes)
    with ThreadPoolExecutor(num_connections) as threads:
        try:
            for results in _run_ahead(threads, upload, batches, num_connections + 1):
                _count(results, report)
                progress.advance(task, len(results))
        except ClientError as error:
            raise ClientError(
                f"{error} (stopped after {report.num_images} of {len(paths)} images; "
                "the same command goes on from there)"
            ) from error
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
    report.refused.sort(key=lambda refused: refused.path)
    return report


Result = UploadItem | RefusedFile


@dataclass(frozen=True, slots=True)
class _BatchUpload:
    client: Client
    found: FoundImages
    split: str
    source: str

    def __call__(self, paths: Sequence[Path]) -> list[Result]:
        """Upload files; return one result for each, in any order. Raise ClientError as above."""
        results: list[Result] = []
        contents: list[tuple[Path, bytes]] = []
        for path in paths:
            try:
                contents.append((path, path.read_bytes()))
            except OSError as error:
                results.append(RefusedFile(path, reason_of(error)))
        return results + send_batch(self._upload, contents) if contents else results

    def _upload(self, contents: Sequence[tuple[Path, bytes]]) -> list[Result]:
        files = [(self.found.name(path), content) for path, content in contents]
        items = self.client.upload_images(files, split=self.split, source=self.source)
        return [
            RefusedFile(path, item.problem.detail) if item.problem else item
            for (path, _), item in zip(contents, items, strict=True)
        ]


def _run_ahead(
    threads: ThreadPoolExecutor,
    upload: _BatchUpload,
    batches: Iterator[list[Path]],
    num_ahead: int,
) -> Iterator[list[Result]]:
    """Yield results as they arrive, with a bounded number of batches under way."""
    running: set[Future[list[Result]]] = set()
    while True:
        for batch in islice(batches, num_ahead - len(running)):
            running.add(threads.submit(upload, batch))
        if not running:
            return
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()


def _count(results: Sequence[Result], report: ImportReport) -> None:
    for result in results:
        if isinstance(result, RefusedFile):
            report.refused.append(result)
        elif result.status == HTTPStatus.OK:
            report.num_known += 1
        else:
            report.num_new += 1
