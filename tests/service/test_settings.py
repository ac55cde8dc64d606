import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings, unknown_variables

KEY = "a-key-of-some-length"


@pytest.mark.parametrize("key", ["schlüssel-mit-umlaut", "a blank at the end ", "tab\t" * 5])
def test_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match="a header cannot carry this key"):
        Settings(api_key=key)


LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@pytest.mark.parametrize(
    ("host", "allowed_hosts", "known"),
    [
        ("127.0.0.1", "", LOOPBACK),
        ("127.8.8.8", "", LOOPBACK | {"127.8.8.8"}),
        ("Example.org.", "", LOOPBACK | {"example.org"}),
        ("fd00:0::5", "", LOOPBACK | {"fd00::5"}),
        (
            "127.0.0.1",
            " GPU-box.lan, ,[FD00:0::6],10.0.0.5 ",
            LOOPBACK | {"gpu-box.lan", "fd00::6", "10.0.0.5"},
        ),
        ("0.0.0.0", "", None),
        ("::", "", None),
        ("0.0.0.0", "gpu-box.lan", LOOPBACK | {"0.0.0.0", "gpu-box.lan"}),
    ],
)
def test_service_answers_to_loopback_its_own_host_and_those_allowed(
    host: str, allowed_hosts: str, known: set[str] | None
) -> None:
    settings = Settings(host=host, allowed_hosts=allowed_hosts, api_key=KEY)

    assert settings.known_hosts == known


@pytest.mark.parametrize(
    "host", ["https://a.lan", "a.lan:8000", "*", "*.lan", "a lan", "user@a.lan"]
)
def test_allowed_host_that_is_not_a_host_alone_is_refused(host: str) -> None:
    with pytest.raises(ValidationError, match="is not a host: write a name or an address"):
        Settings(allowed_hosts=f"b.lan,{host}")


def test_database_and_blobs_are_in_the_data_folder_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARDNEG_DATA_DIR", str(tmp_path / "with space"))

    settings = Settings()

    assert settings.sqlalchemy_url == f"sqlite:///{tmp_path}/with space/hardneg.sqlite3"
    assert settings.blob_store_url == f"file://{tmp_path}/with%20space/blobs"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgres_is_reached_by_psycopg_3(scheme: str) -> None:
    settings = Settings(database_url=f"{scheme}://user@host/name")

    assert settings.sqlalchemy_url == "postgresql+psycopg://user@host/name"


def test_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDNEG_DEVICE", "")
    monkeypatch.setenv("HARDNEG_API_KEY", "")

    settings = Settings()

    assert (settings.device, settings.api_key) == (None, None)


def test_misspelt_variable_is_reported_with_the_likely_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HARDNEG_ENGINE_THREADS", "1")
    assert unknown_variables() == {}

    monkeypatch.setenv("HARDNEG_ENGINE_TREADS", "1")
    monkeypatch.setenv("HARDNEG_XYZ", "1")

    assert unknown_variables() == {
        "HARDNEG_ENGINE_TREADS": "HARDNEG_ENGINE_THREADS",
        "HARDNEG_XYZ": "",
    }


def test_unknown_device_is_refused() -> None:
    with pytest.raises(ValidationError, match="device"):
        Settings(device="banana")


def test_invalid_key_is_not_shown() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(api_key="short-secret")

    assert "api_key" in str(refused.value)
    assert "short-secret" not in str(refused.value)


def test_openvino_backend_needs_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings(backend="openvino").backend == "openvino"

    monkeypatch.setitem(sys.modules, "openvino", None)  # as if it were not installed

    with pytest.raises(ValidationError, match=r"hardneg\[openvino\]"):
        Settings(backend="openvino")


def test_tensorboard_logs_need_tensorboard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Settings(tensorboard_dir=tmp_path).tensorboard_dir == tmp_path

    monkeypatch.setitem(sys.modules, "tensorboard", None)  # as if it were not installed

    with pytest.raises(ValidationError, match=r"hardneg\[tensorboard\]"):
        Settings(tensorboard_dir=tmp_path)
