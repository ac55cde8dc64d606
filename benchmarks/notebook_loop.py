"""
The loop that notebooks run over a pool, in a process as a notebook's: nothing of ours in it.

It is run as a file and imports torch and torchvision alone. For each line on its standard input it
scores all images and prints JSON: their scores, or for the line "share" the share of that time
which went into post-processing.

    python -P benchmarks/notebook_loop.py FILE THREADS

FILE, written by `torch.save`: `network`, and `images`, float [3, H, W] in [0, 1].
"""

import json
import sys
import time
from typing import Any

import torch

BATCH = 2


def score(network: torch.nn.Module, images: list[torch.Tensor]) -> list[float]:
    scores: list[float] = []
    with torch.no_grad():
        for start in range(0, len(images), BATCH):
            found = network(images[start : start + BATCH])
            scores += [max(each["scores"].tolist(), default=0.0) for each in found]
    return scores


def postprocessing_share(network: torch.nn.Module, images: list[torch.Tensor]) -> float:
    spent = 0.0
    owner: Any = getattr(network, "roi_heads", network)
    postprocess = owner.postprocess_detections

    def timed(*arguments: object) -> object:
        nonlocal spent
        start = time.perf_counter()
        found = postprocess(*arguments)
        spent += time.perf_counter() - start
        return found

    owner.postprocess_detections = timed
    start = time.perf_counter()
    score(network, images)
    whole = time.perf_counter() - start
    owner.postprocess_detections = postprocess
    return spent / whole


def main() -> None:
    torch.set_num_threads(int(sys.argv[2]))
    given = torch.load(sys.argv[1], weights_only=False)
    answers = {"scores": score, "share": postprocessing_share}
    for question in sys.stdin:
        answer = answers[question.strip()](given["network"], given["images"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
