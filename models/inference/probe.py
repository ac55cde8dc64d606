"""Try an ONNX file of unknown origin in a child process with limits of memory and time."""

import json
import os
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from models.detectors.foreign.errors import (
    ForeignDetectorError,
    LayoutMismatchError,
    LayoutUnknownError,
    ThresholdedExportError,
)
from models.detectors.foreign.inspection import SpecOverrides
from models.detectors.foreign.spec import ForeignSpec
from models.detectors.foreign.spec_text import parse_spec, spec_text

MEMORY_BYTES = 6 * 1024**3  # beyond what the libraries take; a YOLOv8x at 1280 px takes 2.5 GiB
TIME_S = 120.0
_ERRORS = {
    kind.code: kind
    for kind in (
        ForeignDetectorError,
        LayoutMismatchError,
        LayoutUnknownError,
        ThresholdedExportError,
    )
}


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """
    What a file turned out to be.

    Attributes:
        spec: what scoring needs.
        runtime: that computes it, with its release.
        inputs, outputs: by name, the shapes for one image.
        runs_batches: whether images go through the network together.
    """

    spec: ForeignSpec
    runtime: str
    inputs: dict[str, list[int | None]]
    outputs: dict[str, list[int]]
    runs_batches: bool


def probe(
    path: Path,
    overrides: SpecOverrides | None = None,
    *,
    memory_bytes: int = MEMORY_BYTES,
    time_s: float = TIME_S,
) -> ProbeReport:
    """
    Understand a file and run it on a few images, away from this process.

    Raises ForeignDetectorError and its children, also for a file that takes too much memory or
    time, or that ends the child.
    """
    request = json.dumps(
        {
            "path": str(path),
            "overrides": asdict(overrides or SpecOverrides()),
            "memory": memory_bytes,
        }
    )
    try:
        child = subprocess.run(
            [sys.executable, "-m", "models.inference.probe"],
            input=request,
            capture_output=True,
            text=True,
            timeout=time_s,
            cwd=Path(__file__).parents[2],  # where `models` is found, installed or not
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ForeignDetectorError(
            f"the file was stopped after {time_s:.0f} s: a detector takes a fraction of that"
        ) from error
    lines = child.stdout.splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else {}
    except ValueError:
        answer = {}
    if "error" in answer:
        raise _ERRORS.get(answer["code"], ForeignDetectorError)(answer["error"])
    if "spec" not in answer:
        raise ForeignDetectorError(
            "the file ended the process that tried it, for instance by asking for more memory "
            f"than {memory_bytes / 1024**3:.0f} GiB"
        )
    return ProbeReport(
        spec=parse_spec(answer["spec"]),
        runtime=answer["runtime"],
        inputs=answer["inputs"],
        outputs=answer["outputs"],
        runs_batches=answer["runs_batches"],
    )


def main() -> None:
    """Read a request from standard input, and write what was found as the last line."""
    request = json.loads(sys.stdin.read())
    # Imported before the limit: the libraries' own address space is not the file's.
    from models.detectors.foreign.detector import ForeignDetector
    from models.detectors.foreign.inspection import inspect_onnx
    from models.detectors.foreign.runtime import open_network
    from models.inference.proof import prove_finite

    _limit_memory(request["memory"])
    path = Path(request["path"])
    try:
        found = inspect_onnx(path, SpecOverrides.of(request["overrides"]))
        detector = ForeignDetector(found.spec, open_network(path))
        prove_finite(detector)
    except ForeignDetectorError as error:
        answer: dict[str, object] = {
            "error": str(error),
            "code": error.code,
        }
    except ValueError as error:
        answer = {
            "error": f"the detector gives no usable scores: {error}",
            "code": ForeignDetectorError.code,
        }
    except ImportError as error:
        answer = {"error": str(error), "code": ForeignDetectorError.code}
    except MemoryError:
        answer = {"error": "the file takes too much memory", "code": ForeignDetectorError.code}
    else:
        answer = {
            "spec": spec_text(found.spec),
            "runtime": found.runtime,
            "inputs": {port.name: list(port.shape or ()) for port in found.inputs},
            "outputs": {name: list(shape) for name, shape in found.output_shapes.items()},
            "runs_batches": detector.runs_batches,
        }
    print(f"\n{json.dumps(answer)}", flush=True)
    os._exit(0)  # a runtime's threads may still be in the file's network


def _limit_memory(budget_bytes: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + budget_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
