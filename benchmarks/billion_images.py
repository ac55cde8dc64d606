"""
What a scan of very many images would need, by arithmetic from figures measured on small pools.

    python -m benchmarks.billion_images --images 1e9 --hours 24

Nothing here was measured at this size; `docs/explanation/a-billion-images.md` says where each
figure comes from.
"""

import argparse

SCANNER_IMAGES_PER_S = 190  # on the cores of one small machine without a GPU
IMAGE_KB = 100  # a JPEG of a photograph, at the sizes that detectors are given
RANGE_IMAGES = 1024
CLAIMS_PER_S = 2248  # the lowest at 100,000 ranges
CONNECTIONS = 97  # of Postgres: its default of 100 without those for superusers
CONNECTIONS_OF_A_SCANNER = (6.5, 3)  # before and with a pool of three
ROWS_PER_S = (14_000, 33_000)
BYTES_PER_ROW = 279
GETS_PER_S = 5500  # of one prefix of S3, as its vendor documents
KEPT_ROWS = 1_000_000  # if only the top stays in Postgres


def report(num_images: float, hours: float) -> list[tuple[str, str]]:
    """Return the questions and their answers."""
    per_s = num_images / hours / 3600
    slow, fast = ROWS_PER_S
    before, after = (int(CONNECTIONS / held) for held in CONNECTIONS_OF_A_SCANNER)
    return [
        ("images/s to be done in time", f"{per_s:,.0f}"),
        ("scanners of 190 images/s", f"{per_s / SCANNER_IMAGES_PER_S:,.0f}"),
        ("scanners that Postgres's default connections allow", f"{before}, with a pool {after}"),
        ("ranges", f"{num_images / RANGE_IMAGES:,.0f}"),
        ("claims/s, of 2,248 measured", f"{per_s / RANGE_IMAGES:,.1f}"),
        (
            "hours to write the rows at 33,000 and 14,000 rows/s",
            f"{num_images / fast / 3600:,.0f} and {num_images / slow / 3600:,.0f}",
        ),
        ("GB of rows and indexes of a version", f"{num_images * BYTES_PER_ROW / 1e9:,.0f}"),
        ("TB read from the bucket", f"{num_images * IMAGE_KB / 1e9:,.0f}"),
        ("Gbit/s from the bucket", f"{per_s * IMAGE_KB * 8 / 1e6:,.1f}"),
        ("prefixes of the bucket for the GETs", f"{-(-per_s // GETS_PER_S):,.0f}"),
        ("GB in Postgres with the top alone", f"{KEPT_ROWS * BYTES_PER_ROW / 1e9:,.1f}"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=float, default=1e9)
    parser.add_argument("--hours", type=float, default=24)
    arguments = parser.parse_args()
    for question, answer in report(arguments.images, arguments.hours):
        print(f"{question:<55} {answer}")


if __name__ == "__main__":
    main()
