"""
The Python SDK: a typed client of one hardneg service, over HTTP.

Example:
    from hardneg import Client

    with Client("http://127.0.0.1:8000") as client:
        client.upload_images(["yard/0001.jpg", "yard/0002.jpg"], source="yard-camera")
        for negative in client.iter_hard_negatives(min_score=0.5):
            print(negative.rank, negative.max_score, negative.image.file_name)
        job = client.wait_for_job(client.retrain(iterations=3).id)
        print(job.status, client.iterations()[-1].decision)
"""

from ipaddress import ip_address

from hardneg.calls.audit import AuditCalls
from hardneg.calls.families import FamilyCalls
from hardneg.calls.hard_negatives import HardNegativeCalls
from hardneg.calls.health import HealthCalls
from hardneg.calls.hold_test import HoldTestCalls
from hardneg.calls.images import ImageCalls
from hardneg.calls.imports import ImportCalls
from hardneg.calls.jobs import JobCalls
from hardneg.calls.keys import KeyCalls
from hardneg.calls.labelled_images import LabelledImageCalls
from hardneg.calls.look_alikes import LookAlikeCalls
from hardneg.calls.model_versions import ModelVersionCalls
from hardneg.calls.scans import ScanCalls
from hardneg.calls.sources import SourceCalls
from hardneg.calls.stats import StatsCalls
from hardneg.calls.training import TrainingCalls
from hardneg.calls.verdicts import VerdictCalls
from hardneg.errors import ClientError, Refused, TimedOut, Unreachable

__all__ = ["Client", "ClientError", "Refused", "TimedOut", "Unreachable", "server_url"]


class Client(
    HealthCalls,
    ImageCalls,
    SourceCalls,
    ImportCalls,
    LabelledImageCalls,
    HardNegativeCalls,
    HoldTestCalls,
    FamilyCalls,
    LookAlikeCalls,
    VerdictCalls,
    ModelVersionCalls,
    TrainingCalls,
    ScanCalls,
    JobCalls,
    StatsCalls,
    KeyCalls,
    AuditCalls,
):
    """
    A client of one service; threads may share it, and a `with` block closes it.

    Calls named by a noun read (`images`, `job`), calls named by a verb change something
    (`upload_images`, `cancel_job`). A list comes as one page (`images`) or as an iterator over all
    pages (`iter_images`). Answers are the pydantic models of `hardneg.schemas`. Every call raises
    ClientError: Refused when the service answered with a problem, Unreachable when it did not
    answer.
    """


def server_url(host: str, port: int) -> str:
    """Return the URL at which a server that listens on `host` is reached from its own machine."""
    try:
        address = ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        return f"http://{'127.0.0.1' if address.version == 4 else '[::1]'}:{port}"
    return f"http://{address if address.version == 4 else f'[{address}]'}:{port}"
