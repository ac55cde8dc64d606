"""The only reader of the environment."""

import os
from difflib import get_close_matches
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# read by the tests, and by the client
OTHER_VARIABLES = {"HARDNEG_TEST_POSTGRES_URL", "HARDNEG_URL"}


class Settings(BaseSettings):
    """Every setting of the service; the environment variable is the name behind `HARDNEG_`."""

    model_config = SettingsConfigDict(
        env_prefix="HARDNEG_", env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    data_dir: Path = Field(Path("data"), description="Folder of the embedded database and blobs.")
    database_url: str = Field(
        "",
        description="SQLAlchemy URL, `sqlite:///…` or `postgresql://…`; "
        "empty means an SQLite file in the data folder.",
    )
    blob_url: str = Field(
        "",
        description="Where image bytes and checkpoints are kept: `file:///…`, `s3://…`, `gs://…` "
        "or `az://…`; empty means a folder in the data folder.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    api_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="Key that clients send as `Authorization: Bearer …` or `X-API-Key`; "
        "must be set to listen on any address but loopback.",
    )
    device: str | None = Field(
        None,
        pattern=r"^(cpu|cuda(:\d{1,3})?|mps)$",
        description="`cpu`, `cuda`, `cuda:1`, `mps`; empty picks CUDA, then MPS, then CPU.",
    )
    backend: Literal["bfloat16", "openvino", "eager"] = Field(
        "bfloat16",
        description="`bfloat16` screens a large pool with half the bits, where that is found to be "
        "faster and the detector bears it, and scores again in float32 whatever could be "
        "among the first 2,000 of a source; what a client waits for, and what measures a detector, "
        "is always scored in float32. `openvino`, on the CPU, does the same with what OpenVINO "
        "compiles, where that is faster still: as soon as it is ready, and needs "
        "`hardneg[openvino]`. `eager` scores everything in float32.",
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Images in one forward pass at most; empty takes 8 on the CPU, and the "
        "fastest on a GPU, measured when a version is loaded.",
    )
    engine_threads: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Batches that are scored side by side; on the CPU they share the cores. Empty "
        "takes as many as there are cores, 4 at most, and 2 on a GPU. With 1, a single image "
        "of a large detector is scored sooner, and a pool later.",
    )
    detection_floor: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Lowest score of a detection that is kept for an image of the pool; what "
        "measures a detector, negative-test and val, keeps all above the detector's threshold.",
    )
    batch_wait_ms: float = Field(
        3.0, ge=0, le=1000, description="How long a batch waits for more images, in ms."
    )
    decode_threads: int = Field(2, ge=1, le=64, description="Threads that decode images.")
    max_body_bytes: int = Field(
        256 * 1024**2, ge=1024, description="Largest request body; more is refused with 413."
    )
    max_checkpoint_bytes: int = Field(
        2 * 1024**3, ge=1024, description="Largest checkpoint upload; more is refused with 413."
    )
    max_files: int = Field(1000, ge=1, le=10_000, description="Files in one request at most.")
    max_pixels: int = Field(
        100_000_000, ge=1, description="Largest image, width × height; more is refused with 413."
    )
    max_import_bytes: int = Field(
        8 * 1024**3,
        ge=1024,
        description="Largest archive for POST /imports, and the most that one may unpack to.",
    )
    max_import_files: int = Field(1_000_000, ge=1, description="Files in one import at most.")
    import_roots: str = Field(
        "",
        description="Folders and bucket prefixes that POST /imports may read, with commas between "
        "them: `/data/pool,s3://bucket/pool`; empty allows none.",
    )
    seal_fraction: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the images sent to the pool that go into negative-test instead, "
        "chosen by their digest.",
    )
    embedded_worker: bool = Field(
        True, description="Whether `hardneg serve` starts a worker process of its own."
    )
    tensorboard_dir: Path | None = Field(
        None,
        description="Folder for TensorBoard logs of each training, one per round; needs "
        "`hardneg[tensorboard]`; empty writes none.",
    )
    shutdown_timeout_s: int = Field(
        10, ge=1, le=600, description="How long a stop waits for requests under way, in s."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log line that is written."
    )
    log_format: Annotated[
        Literal["json", "console"], Field(description="One JSON object per line, or for eyes.")
    ] = "json"

    @model_validator(mode="after")
    def _needs_a_key_beyond_loopback(self) -> Self:
        if self.api_key is None and not _is_loopback(self.host):
            raise ValueError(
                f"refusing to listen on {self.host} without a key: set HARDNEG_API_KEY, "
                "or HARDNEG_HOST=127.0.0.1"
            )
        return self

    @field_validator("tensorboard_dir")
    @classmethod
    def _needs_tensorboard(cls, folder: Path | None) -> Path | None:
        if folder is not None and find_spec("tensorboard") is None:
            raise ValueError("it needs TensorBoard: pip install 'hardneg[tensorboard]'")
        return folder

    @field_validator("backend")
    @classmethod
    def _needs_openvino(cls, backend: str) -> str:
        if backend == "openvino" and find_spec("openvino") is None:
            raise ValueError("it needs OpenVINO: pip install 'hardneg[openvino]'")
        return backend

    @property
    def sqlalchemy_url(self) -> str:
        """The database's URL with the driver that is used, psycopg 3 for Postgres."""
        if not self.database_url:
            return f"sqlite:///{self.data_dir.absolute() / 'hardneg.sqlite3'}"
        for scheme in ("postgres://", "postgresql://"):
            if self.database_url.startswith(scheme):
                return "postgresql+psycopg://" + self.database_url.removeprefix(scheme)
        return self.database_url

    @property
    def import_root_list(self) -> list[str]:
        return [root.strip() for root in self.import_roots.split(",") if root.strip()]

    @property
    def blob_store_url(self) -> str:
        """The URL of the blob store, `file://` with an absolute path by default."""
        return self.blob_url or (self.data_dir.absolute() / "blobs").as_uri()


def unknown_variables() -> dict[str, str]:
    """Variables with our prefix that name no setting; what each may be meant for, or nothing."""
    prefix = str(Settings.model_config["env_prefix"])
    known = [name.upper() for name in Settings.model_fields]
    unknown = {}
    for variable in sorted(os.environ.keys() - OTHER_VARIABLES):
        name = variable.upper().removeprefix(prefix)  # in any case, as the settings are read
        if variable.upper() != name and name not in known:
            (meant,) = get_close_matches(name, known, n=1) or [""]
            unknown[variable] = meant and prefix + meant
    return unknown


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
