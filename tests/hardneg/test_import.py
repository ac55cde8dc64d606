"""What `import hardneg` loads."""

import subprocess
import sys

import pytest

import hardneg

SERVER_SIDE = {"torch", "torchvision", "sqlalchemy", "fastapi", "service", "models", "numpy"}


@pytest.mark.parametrize(
    "code",
    [
        "from hardneg import Client; Client('http://127.0.0.1:8000').close()",
        "import hardneg.uploads.folder, hardneg.uploads.labelled, hardneg.uploads.labels",
        "import hardneg.uploads.image_list",
        "import hardneg.display.job_watch, hardneg.display.iterations",
        "import hardneg.cli.app, hardneg.cli.settings",
    ],
)
def test_client_side_loads_nothing_of_the_server_side(code: str) -> None:
    output = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert SERVER_SIDE & set(output.split()) == set()


def test_names_of_the_package_are_those_of_the_client() -> None:
    for name in hardneg.__all__:
        assert getattr(hardneg, name).__name__ == name
    with pytest.raises(AttributeError, match="Cleint"):
        hardneg.Cleint  # noqa: B018  # read to see it fail
