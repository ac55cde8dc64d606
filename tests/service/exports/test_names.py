import re
from hashlib import sha256
from pathlib import PurePosixPath, PureWindowsPath

from hypothesis import example, given
from hypothesis import strategies as st

from service.exports.names import SUFFIXES, exported_name

DIGEST = sha256(b"one").hexdigest()
WINDOWS_NAMES = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{n}" for port in ("com", "lpt") for n in "123"),
}


@given(st.text(max_size=300), st.sampled_from(sorted(SUFFIXES)))
@example("CON", "image/png")
@example("../../etc/passwd", "image/png")
@example("C:\\cameras\\yard.jpg", "image/jpeg")
@example(".jpg", "image/jpeg")
@example('a b\t\n%00?*|<>":.png', "image/png")
@example("фото.jpg", "image/jpeg")
@example("x" * 255, "image/webp")
def test_any_name_becomes_one_that_every_system_takes(uploaded_as: str, media_type: str) -> None:
    name = exported_name(uploaded_as, DIGEST, media_type)

    assert re.fullmatch(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*\.[a-z]+", name)
    assert len(name) <= 100
    assert PurePosixPath(name).name == PureWindowsPath(name).name == name
    assert PurePosixPath(name).stem.lower() not in WINDOWS_NAMES
    assert name.endswith(SUFFIXES[media_type])


@given(st.text(max_size=30), st.text(max_size=30), st.binary(), st.binary())
def test_images_differ_in_name_without_suffix_and_case(
    first: str, second: str, content: bytes, other: bytes
) -> None:
    names = [
        exported_name(uploaded_as, sha256(data).hexdigest(), media_type)
        for uploaded_as, data, media_type in (
            (first, content, "image/png"),
            (second, other, "image/jpeg"),
        )
    ]

    stems = {PurePosixPath(name).stem.lower() for name in names}
    assert len(stems) == 2 or content == other


def test_name_keeps_what_a_person_knows_it_by() -> None:
    name = exported_name("yard 3/Dusk, façade.JPEG", DIGEST, "image/png")

    assert name == f"Dusk-facade-{DIGEST[:16]}.png"
