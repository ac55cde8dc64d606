"""
The usual way to put a detector behind HTTP: LitServe with batching around torchvision's network.

It is run as a file, so that nothing of ours is in its processes. NETWORK is a torchvision network
written by `torch.save`.

    python -P benchmarks/litserve_server.py PORT NETWORK
"""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import litserve
import torch
from fastapi import Request
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import pil_to_tensor

MAX_BATCH = 16
BATCH_TIMEOUT_S = 0.01


class DetectorAPI(litserve.LitAPI):  # type: ignore[misc]  # litserve may be missing where mypy runs
    """JPEGs as multipart uploads in, the detections out; decoding and network as notebooks do."""

    def __init__(self, path: Path) -> None:
        super().__init__(max_batch_size=MAX_BATCH, batch_timeout=BATCH_TIMEOUT_S)
        self._path = path

    def setup(self, device: str) -> None:
        self._network: nn.Module = torch.load(self._path, weights_only=False)

    def decode_request(self, request: Request) -> Tensor:
        picture = Image.open(io.BytesIO(request["file"].file.read())).convert("RGB")
        pixels: Tensor = pil_to_tensor(picture)
        return pixels / 255

    def batch(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        return list(inputs)

    @torch.no_grad()
    def predict(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        found: list[dict[str, Tensor]] = self._network(images)
        return found

    def unbatch(self, output: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
        return output

    def encode_response(self, output: dict[str, Tensor]) -> dict[str, object]:
        scores = output["scores"].tolist()
        return {
            "max_score": max(scores, default=0.0),
            "scores": scores,
            "labels": output["labels"].tolist(),
            "boxes": output["boxes"].tolist(),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("network", type=Path)
    arguments = parser.parse_args()
    server = litserve.LitServer(
        DetectorAPI(arguments.network), accelerator="cpu", workers_per_device=1, timeout=120
    )
    server.run(
        host="127.0.0.1", port=arguments.port, log_level="warning", generate_client_file=False
    )


if __name__ == "__main__":
    main()
