import io
import tracemalloc
import zipfile
from collections.abc import Iterator
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from service.exports.archive import ZipMember, stream_zip

CHUNK = bytes(64 * 1024)
CHUNKS_PER_IMAGE = 16


def test_first_bytes_come_before_the_last_image_is_read() -> None:
    opened: list[int] = []

    def read(number: int) -> Iterator[bytes]:
        opened.append(number)
        yield b"image"

    members = [ZipMember(f"{number}.png", 5, partial(read, number)) for number in range(9)]
    chunks = stream_zip(members)

    first = next(chunks)

    assert first.startswith(b"PK\3\4")
    assert opened == [0]
    assert sum(1 for _ in chunks) >= 8
    assert opened == list(range(9))


def test_memory_does_not_grow_with_the_zip() -> None:
    size = CHUNKS_PER_IMAGE * len(CHUNK)
    members = [
        ZipMember(f"{number}.png", size, lambda: iter([CHUNK] * CHUNKS_PER_IMAGE))
        for number in range(40)
    ]
    tracemalloc.start()

    total = sum(len(chunk) for chunk in stream_zip(members))

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total > 40 * size
    assert peak < size


@given(
    st.dictionaries(st.text("abc/é", min_size=1), st.tuples(st.lists(st.binary()), st.booleans()))
)
def test_what_goes_in_comes_out(files: dict[str, tuple[list[bytes], bool]]) -> None:
    members = [
        ZipMember(name, sum(map(len, chunks)), partial(iter, chunks), is_packed)
        for name, (chunks, is_packed) in files.items()
    ]

    content = b"".join(stream_zip(members))

    assert content == b"".join(stream_zip(members))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == list(files)
        for name, (chunks, is_packed) in files.items():
            method = zipfile.ZIP_DEFLATED if is_packed else zipfile.ZIP_STORED
            assert archive.read(name) == b"".join(chunks)
            assert archive.getinfo(name).compress_type == method
