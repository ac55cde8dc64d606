"""Uploads over many connections at once: how many images a second, and how long each takes."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

BOUNDARY = b"image-benchmark"


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it: images a second, and the requests' latencies in seconds."""

    rate: float
    latencies: Sequence[float]


def multipart(path: str, field: str, files: Sequence[bytes]) -> bytes:
    """Build a whole HTTP request."""
    parts = b"".join(
        b"--%b\r\nContent-Disposition: form-data; name=%b; filename=%d.jpg\r\n"
        b"Content-Type: image/jpeg\r\n\r\n%b\r\n" % (BOUNDARY, field.encode(), number, content)
        for number, content in enumerate(files)
    )
    body = parts + b"--%b--\r\n" % BOUNDARY
    return (
        b"POST %b HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: multipart/form-data; boundary=%b\r\nContent-Length: %d\r\n\r\n%b"
        % (path.encode(), BOUNDARY, len(body), body)
    )


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> bytes:
    """Return the answer's body. Raises ValueError unless its status is 2xx."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    body = await reader.readexactly(length)
    if not head.startswith(b"http/1.1 2"):
        raise ValueError(head.decode() + body.decode())
    return body


def upload(
    port: int,
    images: Iterator[bytes],
    *,
    path: str = "/images",
    field: str = "files",
    files: int = 1,
    clients: int = 16,
    seconds: float,
) -> Load:
    """
    Each client sends one request after another, of so many files, until the time is up.

    The time counts until the last answer.
    """
    return asyncio.run(_upload(port, images, path, field, files, clients, seconds))


async def _upload(
    port: int,
    images: Iterator[bytes],
    path: str,
    field: str,
    files: int,
    clients: int,
    seconds: float,
) -> Load:
    latencies: list[float] = []
    begun = time.perf_counter()

    async def send_on_and_on() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
        while time.perf_counter() < begun + seconds:
            request = multipart(path, field, [next(images) for _ in range(files)])
            sent = time.perf_counter()
            await exchange(reader, writer, request)
            latencies.append(time.perf_counter() - sent)
        writer.close()

    await asyncio.gather(*(send_on_and_on() for _ in range(clients)))
    return Load(files * len(latencies) / (time.perf_counter() - begun), latencies)
