"""
The loop that notebooks run over a pool, in a process as a notebook's: nothing of ours in it.

It is run as a file and imports torch and torchvision alone. For each line on its standard input it
scores all images and prints their scores as JSON.

    python -P benchmarks/notebook_loop.py FILE THREADS

FILE, written by `torch.save`: `network`, and `images`, float [3, H, W] in [0, 1].
"""

import json
import sys

import torch

BATCH = 2


def main() -> None:
    torch.set_num_threads(int(sys.argv[2]))
    given = torch.load(sys.argv[1], weights_only=False)
    network = given["network"]
    images = given["images"]
    for _ in sys.stdin:
        scores: list[float] = []
        with torch.no_grad():
            for start in range(0, len(images), BATCH):
                found = network(images[start : start + BATCH])
                scores += [max(each["scores"].tolist(), default=0.0) for each in found]
        print(json.dumps(scores), flush=True)


if __name__ == "__main__":
    main()
