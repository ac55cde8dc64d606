"""Images made to exhaust their reader are refused within limits, and hurt no other image."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from models.data.budget import MemoryBudget
from models.data.decode_processes import DecodeProcesses, DecodersClosed
from models.data.file_structure import ordinary_file
from models.data.images import (
    DecodeFailedError,
    DecodeLimits,
    close_decode_processes,
    decode,
    limit_decoding,
    read_header,
    thumbnail,
)
from tests.databases import on_sqlite_only
from tests.faults.hostile_images import (
    jpeg_of_many_scans,
    png_of_many_chunks,
    transparent_png,
)
from tests.scenes import scene_bytes
from tests.service.pictures import HEIGHT, WIDTH, picture


@pytest.fixture
def one_second() -> Iterator[None]:
    limit_decoding(DecodeLimits(timeout_s=1))
    yield
    limit_decoding(DecodeLimits())


@on_sqlite_only
def test_a_jpeg_of_many_scans_is_refused_and_other_files_are_stored(client: TestClient) -> None:
    contents = [jpeg_of_many_scans(4000, 2000), scene_bytes(1)]

    response = client.post("/images", files=[("files", content) for content in contents])

    refused, stored = response.json()["items"]
    assert (refused["status"], refused["problem"]["type"]) == (422, "/problems/decode-failed")
    assert stored["status"] == 201


@pytest.mark.parametrize("scans_after", [b"", b"\xff\xfe\x00\x04\xff\xd9"])
def test_scans_are_counted_past_what_looks_like_an_end(scans_after: bytes) -> None:
    data = jpeg_of_many_scans(2_000, 1)
    scan = data[data.rfind(b"\xff\xda") : -2]

    with pytest.raises(DecodeFailedError, match="more than 100 scans"):
        decode(data[:-2] + scans_after + scan * 100 + data[-2:])


def test_bytes_after_a_jpeg_are_no_scans() -> None:
    data = jpeg_of_many_scans(2_000, 1)

    assert decode(data + b"\xff\xda" * 1000, enough=(1, 1)).shape == (3, 250, 250)


def test_decoding_ends_at_its_time_limit(one_second: None) -> None:
    started = time.monotonic()

    with pytest.raises(DecodeFailedError, match="longer than the 1 s"):
        decode(png_of_many_chunks(2_000_000))

    assert time.monotonic() - started < 10
    assert decode(png_of_many_chunks(5_000)).shape == (3, 8, 8)


def test_decoding_ends_at_its_memory_limit() -> None:
    limit_decoding(DecodeLimits(memory_bytes=60 * 1024**2))
    try:
        with pytest.raises(DecodeFailedError, match="more memory"):
            decode(transparent_png(4_200))  # 70 MB of pixels
    finally:
        limit_decoding(DecodeLimits())


def test_decoder_that_the_kernel_kills_is_told_apart_from_a_slow_one() -> None:
    processes = DecodeProcesses(1, 10)
    with ThreadPoolExecutor(1) as threads:
        data = png_of_many_chunks(1_000_000)
        running = threads.submit(processes.decode, data, 10_000, None, memory_bytes=1024**3)
        time.sleep(0.5)
        (process,) = processes._busy
        process.kill()  # as the kernel does when memory runs out

        with pytest.raises(DecodeFailedError, match="no memory left"):
            running.result(timeout=5)
    processes.close()


def test_large_transparent_images_leave_this_process_small() -> None:
    data = transparent_png(4_200)
    thumbnail(png_of_many_chunks(5_000), 64)  # starts a process
    Path("/proc/self/clear_refs").write_text("5")  # forgets the highest memory so far
    before = _memory("VmHWM")

    with ThreadPoolExecutor(4) as threads:
        thumbnails = list(threads.map(lambda _: thumbnail(data, 256), range(4)))

    assert _memory("VmHWM") - before < 50 * 1024**2  # one has 70 MB of pixels
    assert read_header(thumbnails[0]).width == 256


def test_an_image_is_the_same_from_a_process() -> None:
    data = picture(1)
    processes = DecodeProcesses(1, 10)

    apart = processes.decode(data, 10_000, None, memory_bytes=1024**3)

    assert apart.shape == (HEIGHT, WIDTH, 3)
    assert np.array_equal(apart, decode(data).permute(1, 2, 0).numpy())
    processes.close()
    with pytest.raises(DecodersClosed):
        processes.decode(data, 10_000, None, memory_bytes=1024**3)


def test_closing_ends_a_decode_that_runs() -> None:
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(decode, png_of_many_chunks(1_000_000))
        time.sleep(0.5)
        close_decode_processes()

        with pytest.raises(DecodersClosed):
            running.result(timeout=5)


@pytest.mark.parametrize(
    "data",
    [
        png_of_many_chunks(100),
        jpeg_of_many_scans(4_000, 20),
        transparent_png(4_096)[:60],
    ],
)
def test_unusual_files_are_not_read_by_this_process(data: bytes) -> None:
    assert ordinary_file(data) is None


@pytest.mark.parametrize("encode", [picture, scene_bytes])
def test_ordinary_files_are_read_by_this_process(encode: Callable[[int], bytes]) -> None:
    assert ordinary_file(encode(1)) is not None


def test_a_budget_is_given_in_order_and_never_exceeded() -> None:
    budget, in_use, highest = MemoryBudget(10), [0], [0]

    def use(num_bytes: int) -> None:
        with budget.take(num_bytes):
            in_use[0] += min(num_bytes, 10)
            highest[0] = max(highest[0], in_use[0])
            time.sleep(0.002)
            in_use[0] -= min(num_bytes, 10)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, [1, 4, 7, 25] * 10))

    assert highest[0] == 10
    assert torch.equal(torch.tensor(in_use), torch.tensor([0]))


def _memory(field: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) * 1024
