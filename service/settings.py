"""The settings, read from the environment here and nowhere else."""

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from hardneg.schemas.keys import Role
from models.process import memory_limit_bytes
from service import setting_checks as checks
from service.hosts import LOOPBACK_HOSTS, canonical_host, is_every_address

# Read by the tests, and by the commands that call a service
OTHER_VARIABLES = {"HARDNEG_TEST_BROWSER", "HARDNEG_TEST_POSTGRES_URL", "HARDNEG_URL"}


class Settings(BaseSettings):
    """Every setting of the service; its variable is `HARDNEG_` and its name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix="HARDNEG_", env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    data_dir: Path = Field(
        Path("data"), description="Folder for the SQLite database and the blobs."
    )
    database_url: str = Field(
        "",
        description="SQLAlchemy URL, `sqlite:///…` or `postgresql://…`. "
        "Empty: an SQLite file in the data folder.",
    )
    database_timeout_s: int = Field(
        10,
        ge=1,
        le=600,
        description="Longest wait of a request for a connection to the database, or for a lock, in "
        "s; a single statement on Postgres may take six times as long. Then the answer is 503.",
    )
    min_free_bytes: int = Field(
        1024**3,
        ge=0,
        description="Room on the disk of the blob folder that uploads leave free, at most a "
        "twentieth of the disk; beyond it they are refused with 507, and reading goes on.",
    )
    blob_url: str = Field(
        "",
        description="Store for image bytes and checkpoints: `file:///…`, `s3://…`, `gs://…` "
        "or `az://…`. Empty: a folder in the data folder.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    api_key: Annotated[SecretStr | None, AfterValidator(checks.sendable)] = Field(
        None,
        min_length=16,
        description="A key with the role `admin` that clients may send as `Authorization: Bearer "
        "…` or `X-API-Key: …`. To listen on any address other than loopback, set it or create a "
        "key with `hardneg keys create`.",
    )
    oidc_issuer: Annotated[str, AfterValidator(checks.identity_provider)] = Field(
        "",
        description="URL of the identity provider that people sign in with, as its own document "
        "names it: `https://id.example/realms/vision`. Needs `hardneg[oidc]`. Empty: none.",
    )
    oidc_client_id: str = Field(
        "", description="Name under which the service is registered at the identity provider."
    )
    oidc_client_secret: SecretStr | None = Field(
        None, min_length=8, description="Secret of the service at the identity provider."
    )
    oidc_scopes: str = Field(
        "openid email",
        pattern=r"^openid( [!-~]+)*$",
        description="Scopes that the service asks for, separated by blanks; some providers name "
        "groups only for a scope of their own.",
    )
    oidc_roles_claim: str = Field(
        "groups",
        min_length=1,
        description="Claim with the groups of a person; a dot leads into an object, as in "
        "`realm_access.roles`.",
    )
    oidc_roles: Annotated[str, AfterValidator(checks.roles)] = Field(
        "",
        description="Role of each group, separated by commas: `ml-team=train,labelling=review`. "
        "`*=read` lets everyone in whom the provider knows. A person gets the highest of their "
        "roles, and is refused without any.",
    )
    key_requests_per_minute: int | None = Field(
        None,
        ge=1,
        description="Most requests of one key in a minute; others are refused with 429. Each "
        "server process counts for itself. Empty: no limit.",
    )
    key_bytes_per_minute: int | None = Field(
        None,
        ge=1024,
        description="Most bytes of request bodies of one key in a minute; once they are used up, "
        "requests are refused with 429. Empty: no limit.",
    )
    trusted_proxies: Annotated[str, AfterValidator(checks.networks)] = Field(
        "",
        description="Addresses and networks of proxies whose `X-Forwarded-For` and "
        "`X-Forwarded-Proto` headers are believed, separated by commas: `10.0.0.5,10.1.0.0/16`. "
        "Empty: none.",
    )
    webhook_urls: str = Field(
        "",
        description="Addresses that events are posted to, separated by commas: versions promoted "
        "or refused, jobs that failed, a pool that is scored. Empty: none.",
    )
    webhook_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="Secret that signs the events, so that receivers know who sent them. Required "
        "with `HARDNEG_WEBHOOK_URLS`.",
    )
    webhook_private_addresses: bool = Field(
        False, description="Whether events may go to addresses of private networks."
    )
    audit_days: int = Field(
        400, ge=1, le=36_500, description="Days for which the audit remembers changes."
    )
    allowed_hosts: Annotated[str, AfterValidator(checks.hosts)] = Field(
        "",
        description="Names and addresses besides loopback and `HARDNEG_HOST` under which clients "
        "reach the service, separated by commas: `gpu-box.lan,10.0.0.5`. Requests to other hosts "
        "are refused with 421. Empty with `HARDNEG_HOST` at `0.0.0.0` or `::`: every host, "
        "because a key is required there.",
    )
    device: str | None = Field(
        None,
        pattern=r"^(cpu|cuda(:\d{1,3})?|mps)$",
        description="Device for the detector: `cpu`, `cuda`, `cuda:1` or `mps`. "
        "Empty: CUDA if there is a GPU, else MPS, else the CPU.",
    )
    backend: Annotated[
        Literal["bfloat16", "openvino", "eager"], AfterValidator(checks.with_openvino)
    ] = Field(
        "bfloat16",
        description="How to score a large pool. `bfloat16` gives every image a quick score in "
        "bfloat16, if that proves faster and accurate enough for the detector, and an exact score "
        "in float32 to each image that could be among the first 2,000 of a source. `openvino` "
        "takes the quick scores from a network that OpenVINO compiles for the CPU, once it is "
        "compiled and if it proves faster still; it needs `hardneg[openvino]`. `eager` scores "
        "everything in float32. Images that a client waits for, and images that measure a "
        "detector, are always scored in float32.",
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Most images in one forward pass. Empty: 8 on the CPU; on a GPU, the fastest "
        "size measured when a version is loaded.",
    )
    engine_threads: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Batches scored at the same time; on the CPU they share the cores. Empty: "
        "one per core up to 4 on the CPU, 2 on a GPU. With 1, a large detector scores a single "
        "image faster and a pool more slowly.",
    )
    detection_floor: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Lowest score of a detection stored for an image of the pool. Images of "
        "negative-test and val, which measure a detector, keep every detection above the "
        "detector's own threshold.",
    )
    batch_wait_ms: float = Field(
        3.0, ge=0, le=1000, description="Longest wait of a batch for more images, in ms."
    )
    decode_threads: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Threads that decode images. Empty: one per core, from 2 to 16.",
    )
    decode_timeout_s: float = Field(
        10.0,
        ge=1,
        le=600,
        description="Most processor time for decoding one unusual image, in s; one that takes "
        "longer is refused with 422.",
    )
    train_processes: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Processes that share a training, one for each GPU; a batch is divided among "
        "them, so there are only as many as divide `batch_size`. On the CPU they share the cores. "
        "Empty: one for each visible GPU if `HARDNEG_DEVICE` is empty or `cuda`, else 1.",
    )
    training_memory_bytes: int | None = Field(
        None,
        ge=64 * 1024**2,
        description="Memory for one step of a training on the CPU. A request that names larger "
        "batches is refused with 422, and told the largest that fits. Empty: half of the machine's "
        "memory, or of the container's limit.",
    )
    memory_budget_bytes: int | None = Field(
        None,
        ge=256 * 1024**2,
        description="Memory for images that are decoded at one time, and again as much for "
        "uploads that are taken in. What does not fit waits. Empty: an eighth of the machine's "
        "memory, or of the container's limit, from 256 MiB to 4 GiB.",
    )
    max_body_bytes: int = Field(
        256 * 1024**2,
        ge=1024,
        description="Largest request body; larger ones are refused with 413.",
    )
    max_checkpoint_bytes: int = Field(
        2 * 1024**3,
        ge=1024,
        description="Largest checkpoint upload; larger ones are refused with 413.",
    )
    max_files: int = Field(1000, ge=1, le=10_000, description="Most files in one request.")
    max_pixels: int = Field(
        100_000_000,
        ge=1,
        description="Most pixels of an image, width × height; larger ones are refused with 413.",
    )
    max_thumbnail_bytes: int = Field(
        1024**3,
        ge=0,
        description="Most bytes of thumbnails kept in the data folder for the dashboard; those "
        "used least recently are deleted first. 0 keeps none.",
    )
    pixel_cache_gb: float = Field(
        4.0,
        ge=0,
        description="Most GB of decoded pixels kept in the data folder, at most a quarter of the "
        "room on its disk. Rescans read them instead of decoding images again, with the same "
        "scores; those unused for longest make room. 0 keeps none.",
    )
    max_import_bytes: int = Field(
        8 * 1024**3,
        ge=1024,
        description="Largest archive for POST /imports, both as uploaded and unpacked.",
    )
    max_import_files: int = Field(1_000_000, ge=1, description="Most files in one import.")
    import_roots: str = Field(
        "",
        description="Folders and bucket prefixes that POST /imports may read, separated by "
        "commas: `/data/pool,s3://bucket/pool`. Empty: none.",
    )
    scan_lease_s: float = Field(
        30.0,
        ge=1,
        le=3600,
        description="Time without a sign of life after which other processes take over the images "
        "that a process was scoring for a scan, in s.",
    )
    seal_fraction: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the images uploaded to the pool that become negative-test images "
        "instead, chosen by digest.",
    )
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port on which a worker shows its metrics at `HARDNEG_HOST`; each process of a "
        "machine needs its own. Empty: none. The server shows its own at `/metrics`.",
    )
    otlp_endpoint: Annotated[str, AfterValidator(checks.with_opentelemetry)] = Field(
        "",
        pattern=r"^(https?://[^/\s]+(/\S*)?)?$",
        description="Address of an OpenTelemetry collector that takes OTLP over HTTP, such as "
        "`http://collector:4318`, to send traces of uploads and jobs to; needs `hardneg[otel]`. "
        "The SDK reads its own variables, such as `OTEL_EXPORTER_OTLP_HEADERS`. Empty: no traces.",
    )
    embedded_worker: bool = Field(
        True, description="Whether `hardneg serve` also starts a worker process."
    )
    tensorboard_dir: Annotated[Path | None, AfterValidator(checks.with_tensorboard)] = Field(
        None,
        description="Folder for TensorBoard logs, one log per training round; needs "
        "`hardneg[tensorboard]`. Empty: no logs.",
    )
    shutdown_timeout_s: int = Field(
        10,
        ge=1,
        le=600,
        description="Longest time from the signal to stop to the end of the server, in s. Running "
        "requests get seven tenths of it.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level of the log lines to write."
    )
    log_format: Annotated[
        Literal["json", "console"],
        Field(description="`json`: one object per line; `console`: for reading."),
    ] = "json"

    @model_validator(mode="after")
    def _signs_events(self) -> Self:
        for url in self.webhook_url_list:
            if not re.fullmatch(r"https?://[^/\s]+(/\S*)?", url):
                raise ValueError(f"HARDNEG_WEBHOOK_URLS: '{url}' is not an http or https URL")
        if self.webhook_urls and self.webhook_secret is None:
            raise ValueError("HARDNEG_WEBHOOK_URLS needs HARDNEG_WEBHOOK_SECRET to sign events")
        return self

    @model_validator(mode="after")
    def _can_let_people_in(self) -> Self:
        needed = (self.oidc_client_id, self.oidc_client_secret, self.oidc_roles)
        if self.oidc_issuer and not all(needed):
            raise ValueError(
                "HARDNEG_OIDC_ISSUER needs HARDNEG_OIDC_CLIENT_ID, HARDNEG_OIDC_CLIENT_SECRET and "
                "HARDNEG_OIDC_ROLES"
            )
        return self

    @property
    def num_decode_threads(self) -> int:
        """The number of threads that decode images, from the processor's cores unless it is set."""
        return self.decode_threads or min(max(os.cpu_count() or 2, 2), 16)

    @property
    def training_memory(self) -> int:
        """The memory for the images of one training step, in bytes."""
        return self.training_memory_bytes or memory_limit_bytes() // 2

    @property
    def memory_budget(self) -> int:
        """The memory budget in bytes, from the machine's memory unless it is set."""
        eighth = memory_limit_bytes() // 8
        return self.memory_budget_bytes or min(max(eighth, 256 * 1024**2), 4 * 1024**3)

    @property
    def sqlalchemy_url(self) -> str:
        """The database's URL for SQLAlchemy, with psycopg 3 as the driver for Postgres."""
        if not self.database_url:
            return f"sqlite:///{self.data_dir.absolute() / 'hardneg.sqlite3'}"
        for scheme in ("postgres://", "postgresql://"):
            if self.database_url.startswith(scheme):
                return "postgresql+psycopg://" + self.database_url.removeprefix(scheme)
        return self.database_url

    @property
    def known_hosts(self) -> frozenset[str] | None:
        """The hosts that the service answers to, in canonical form; None if to every host."""
        added = [canonical_host(host) for host in checks.split(self.allowed_hosts)]
        if not added and is_every_address(self.host):
            return None
        return LOOPBACK_HOSTS.union(filter(None, [canonical_host(self.host), *added]))

    @property
    def oidc_role_map(self) -> dict[str, Role]:
        """The role of each group of the identity provider."""
        return checks.parse_roles(self.oidc_roles)

    @property
    def webhook_url_list(self) -> list[str]:
        return checks.split(self.webhook_urls)

    @property
    def trusted_proxy_list(self) -> list[str]:
        return checks.split(self.trusted_proxies)

    @property
    def import_root_list(self) -> list[str]:
        return checks.split(self.import_roots)

    @property
    def blob_store_url(self) -> str:
        """The URL of the blob store, `file://` with an absolute path by default."""
        return self.blob_url or (self.data_dir.absolute() / "blobs").as_uri()


def unknown_variables() -> dict[str, str]:
    """
    Return the variables with our prefix that name no setting, as misspelt ones do.

    Each has the variable that is probably meant, or an empty text if no setting is close.
    """
    prefix = str(Settings.model_config["env_prefix"])
    known = [name.upper() for name in Settings.model_fields]
    likely = {}
    for variable in sorted(os.environ.keys() - OTHER_VARIABLES):
        name = variable.upper().removeprefix(prefix)  # settings, too, are read in any case
        if variable.upper() != name and name not in known:
            (closest,) = get_close_matches(name, known, n=1) or [""]
            likely[variable] = closest and prefix + closest
    return likely
