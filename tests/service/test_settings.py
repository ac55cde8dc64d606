import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings, unknown_variables

KEY = "a-key-of-some-length"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "example.org", "127.0.0.1.org"])
def test_listening_beyond_loopback_needs_a_key(host: str) -> None:
    with pytest.raises(ValidationError, match="HARDNEG_API_KEY"):
        Settings(host=host)

    assert Settings(host=host, api_key=KEY).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_loopback_needs_none(host: str) -> None:
    assert Settings(host=host).api_key is None


def test_everything_lies_in_the_data_folder_by_default(
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


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDNEG_DEVICE", "")
    monkeypatch.setenv("HARDNEG_API_KEY", "")

    settings = Settings()

    assert (settings.device, settings.api_key) == (None, None)


def test_a_misspelt_variable_is_named_with_what_may_be_meant(
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


def test_a_device_that_no_one_knows_is_refused() -> None:
    with pytest.raises(ValidationError, match="device"):
        Settings(device="banana")


def test_a_key_that_does_not_fit_is_not_shown() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(api_key="short-secret")

    assert "api_key" in str(refused.value)
    assert "short-secret" not in str(refused.value)


def test_the_compiled_screen_needs_its_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings(backend="openvino").backend == "openvino"

    monkeypatch.setitem(sys.modules, "openvino", None)  # as if it were not installed

    with pytest.raises(ValidationError, match=r"hardneg\[openvino\]"):
        Settings(backend="openvino")


def test_tensorboard_logs_need_tensorboard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Settings(tensorboard_dir=tmp_path).tensorboard_dir == tmp_path

    monkeypatch.setitem(sys.modules, "tensorboard", None)  # as if it were not installed

    with pytest.raises(ValidationError, match=r"hardneg\[tensorboard\]"):
        Settings(tensorboard_dir=tmp_path)
