"""Every table of the service."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from service.db import Base

# SQLite numbers rows by itself only in a column that is declared INTEGER.
Id = BigInteger().with_variant(Integer, "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite stores no time zone, so reading adds it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


def utc_now() -> datetime:
    """Return the current moment in UTC."""
    return datetime.now(UTC)


class ApiKey(Base):
    """One API key: its role, and the hash of its text. A revoked key stays, for the audit."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("role IN ('read', 'review', 'write', 'train', 'admin')", name="role"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str] = mapped_column(String(20))
    public_id: Mapped[str] = mapped_column(String(12), unique=True)  # part of the text
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 of the text
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SignIn(Base):
    """
    A browser that has exchanged a key, or a person's word from an identity provider, for a cookie.

    Its token, the key and the state of the sign-in are hashed.
    """

    __tablename__ = "sign_ins"
    __table_args__ = (
        CheckConstraint("(key_digest IS NULL) = (issuer IS NOT NULL)", name="key_or_person"),
        CheckConstraint(
            "(issuer IS NULL) = (person IS NULL) AND (issuer IS NULL) = (role IS NULL)",
            name="whole_person",
        ),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)  # of the cookie's token
    previous_digest: Mapped[str | None] = mapped_column(String(64))  # of the token before
    key_digest: Mapped[str | None] = mapped_column(String(64))  # the session ends with its key
    issuer: Mapped[str | None]  # the identity provider, and what it says of the person
    person: Mapped[str | None]
    role: Mapped[str | None] = mapped_column(String(20))
    state_digest: Mapped[str | None] = mapped_column(String(64), unique=True)  # used once only
    signed_in_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    rotated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class OutboxEvent(Base):
    """An event for other systems, written with the change that it tells of, and sent afterwards."""

    __tablename__ = "outbox_events"
    __table_args__ = (
        Index("ix_outbox_events_next_try_at", "next_try_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    type: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str]  # such as `job 7`
    data: Mapped[dict[str, object]] = mapped_column(JSON)
    once_for: Mapped[str | None] = mapped_column(unique=True)  # only one event of this is kept
    delivered_to: Mapped[list[str]] = mapped_column(JSON)  # addresses that have taken it
    num_failures: Mapped[int]
    next_try_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # null: sent, or given up
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AuditEvent(Base):
    """One change: who made it, and what it changed. It is written in the change's transaction."""

    __tablename__ = "audit_events"
    __table_args__ = (
        Index("ix_audit_events_subject", "subject", "id"),
        Index("ix_audit_events_at", "at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    actor: Mapped[str]
    key_id: Mapped[int | None] = mapped_column(Id)  # null if the actor has no stored key
    request_id: Mapped[str | None] = mapped_column(String(128))
    action: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str]  # such as `image 5`
    before: Mapped[dict[str, object] | None] = mapped_column(JSON(none_as_null=True))
    after: Mapped[dict[str, object] | None] = mapped_column(JSON(none_as_null=True))


class Image(Base):
    """One stored image; its bytes are the blob at `blob_key`."""

    __tablename__ = "images"
    __table_args__ = (
        CheckConstraint("split IN ('pool', 'negative-test', 'train', 'val')", name="split"),
        CheckConstraint("verdict IN ('negative', 'contains-object', 'unsure')", name="verdict"),
        CheckConstraint("width > 0 AND height > 0 AND size_bytes > 0", name="sizes"),
        Index("ix_images_split", "split", "id"),
        Index(
            "ix_images_verdict",
            "verdict",
            "id",
            sqlite_where=text("verdict IS NOT NULL"),
            postgresql_where=text("verdict IS NOT NULL"),
        ),
        {"sqlite_autoincrement": True},  # never reuse the id of a deleted image
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    blob_key: Mapped[str]
    split: Mapped[str] = mapped_column(String(20))
    source: Mapped[str]
    file_name: Mapped[str]
    media_type: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int]  # of the upright image, in pixels
    height: Mapped[int]
    verdict: Mapped[str | None] = mapped_column(String(20))  # a person's word
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class LabelledBox(Base):
    """One object on an image of train or val; an image there without boxes has no object."""

    __tablename__ = "labelled_boxes"
    __table_args__ = (CheckConstraint("x1 < x2 AND y1 < y2", name="has_area"),)

    image_id: Mapped[int] = mapped_column(
        ForeignKey("images.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    class_name: Mapped[str]
    x1: Mapped[float] = mapped_column(Double)  # pixels of the upright image
    y1: Mapped[float] = mapped_column(Double)
    x2: Mapped[float] = mapped_column(Double)
    y2: Mapped[float] = mapped_column(Double)


class BoxJudgement(Base):
    """A person's verdict on one box of an unlabelled image."""

    __tablename__ = "box_judgements"
    __table_args__ = (CheckConstraint("x1 < x2 AND y1 < y2", name="has_area"),)

    image_id: Mapped[int] = mapped_column(
        ForeignKey("images.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    is_object: Mapped[bool]
    class_name: Mapped[str | None]
    x1: Mapped[float] = mapped_column(Double)  # pixels of the upright image
    y1: Mapped[float] = mapped_column(Double)
    x2: Mapped[float] = mapped_column(Double)
    y2: Mapped[float] = mapped_column(Double)


class ModelVersion(Base):
    """One immutable checkpoint, with the spec that rebuilds its detector."""

    __tablename__ = "model_versions"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    architecture: Mapped[str]
    class_names: Mapped[list[str]] = mapped_column(JSON)  # label k is the k-th, from 1
    spec: Mapped[dict[str, object]] = mapped_column(JSON)
    checkpoint_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    checkpoint_key: Mapped[str]
    checkpoint_size_bytes: Mapped[int] = mapped_column(BigInteger)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class Activation(Base):
    """One activation of a model version: the last one serves, the others are the history."""

    __tablename__ = "activations"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    activated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class ImageScore(Base):
    """The score of one image by one model version, or the reason why scoring failed."""

    __tablename__ = "image_scores"
    __table_args__ = (
        CheckConstraint("max_score BETWEEN 0 AND 1", name="max_score_range"),
        CheckConstraint("(ranking_key IS NULL) = (failure IS NOT NULL)", name="failed_or_ranked"),
        Index("ix_image_scores_ranking", "model_version_id", "split", "ranking_key", "image_id"),
        Index(
            "ix_image_scores_source_ranking",
            "model_version_id",
            "split",
            "source",
            "ranking_key",
            "image_id",
        ),
    )

    image_id: Mapped[int] = mapped_column(
        ForeignKey("images.id", ondelete="CASCADE"), primary_key=True
    )
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"), primary_key=True)
    split: Mapped[str] = mapped_column(String(20))  # the image's, which never changes
    source: Mapped[str] = mapped_column(server_default="")  # likewise
    # Minus the log-odds: an ascending index holds the worst image first, and equal keys in image
    # order. Infinity if the detector gave no score, null if scoring failed.
    ranking_key: Mapped[float | None] = mapped_column(Double)
    max_score: Mapped[float | None] = mapped_column(Double)  # null if the detector gave no score
    log_odds: Mapped[float | None] = mapped_column(Double)
    failure: Mapped[str | None]
    scored_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class Detection(Base):
    """One detection of one model version on one image."""

    __tablename__ = "detections"
    __table_args__ = (
        CheckConstraint("score BETWEEN 0 AND 1", name="score_range"),
        Index(
            "ix_detections_ranking",
            "model_version_id",
            "label",
            "ranking_key",
            "image_id",
            sqlite_where=text("ranking_key IS NOT NULL"),
            postgresql_where=text("ranking_key IS NOT NULL"),
        ),
    )

    image_id: Mapped[int] = mapped_column(
        ForeignKey("images.id", ondelete="CASCADE"), primary_key=True
    )
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)  # 0 is the highest score
    label: Mapped[int]
    # The image's ranking key on its highest detection of each class, if the image is in the pool;
    # else null. The index thus holds one ranked list for each class.
    ranking_key: Mapped[float | None] = mapped_column(Double)
    score: Mapped[float] = mapped_column(Double)
    x1: Mapped[float] = mapped_column(Double)  # pixels of the upright image
    y1: Mapped[float] = mapped_column(Double)
    x2: Mapped[float] = mapped_column(Double)
    y2: Mapped[float] = mapped_column(Double)


class ScreenMargin(Base):
    """
    The largest error of a version's quick scores, on images that were scored both ways.

    It depends on the device and on the releases of torch and OpenVINO.
    """

    __tablename__ = "screen_margins"
    __table_args__ = (CheckConstraint("num_images > 0 AND largest_error >= 0", name="measured"),)

    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"), primary_key=True)
    computed_by: Mapped[str] = mapped_column(primary_key=True)  # a device and releases of libraries
    num_images: Mapped[int] = mapped_column(BigInteger)
    largest_error: Mapped[float] = mapped_column(Double)  # of log-odds, on these and on noise
    measured_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class RegionVector(Base):
    """The vector of one box of one image, by one region network."""

    __tablename__ = "region_vectors"

    image_id: Mapped[int] = mapped_column(
        ForeignKey("images.id", ondelete="CASCADE"), primary_key=True
    )
    network: Mapped[str] = mapped_column(String(64), primary_key=True)  # its digest
    box: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)  # xyxy, little-endian float32
    vector: Mapped[bytes] = mapped_column(LargeBinary)  # little-endian float16


class ImageVector(Base):
    """The vector of a whole image by one region network, and the image that it is a copy of."""

    __tablename__ = "image_vectors"
    __table_args__ = (
        Index(
            "ix_image_vectors_original_id",
            "original_id",
            sqlite_where=text("original_id IS NOT NULL"),
            postgresql_where=text("original_id IS NOT NULL"),
        ),
    )

    image_id: Mapped[int] = mapped_column(
        ForeignKey("images.id", ondelete="CASCADE"), primary_key=True
    )
    network: Mapped[str] = mapped_column(String(64))  # its digest
    vector: Mapped[bytes] = mapped_column(LargeBinary)  # little-endian float16
    # Of images with near-duplicates: the first of them, which is its own; it may be deleted by now.
    original_id: Mapped[int | None] = mapped_column(Id)


class HoldTest(Base):
    """The last test of a version's hardest images for true objects, and what it rested on."""

    __tablename__ = "hold_tests"

    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"), primary_key=True)
    network: Mapped[str] = mapped_column(String(64))  # digest of the region network
    num_objects: Mapped[int]  # labelled boxes and people's verdicts
    num_presumed_negatives: Mapped[int]
    is_trusted: Mapped[bool]
    reason: Mapped[str]  # why the test is trusted, or is not
    tested_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class HoldDecision(Base):
    """The decision of a version's last hold test on one image of the pool or the sealed set."""

    __tablename__ = "hold_decisions"
    __table_args__ = (
        Index("ix_hold_decisions_order", "model_version_id", "split", "decision", "image_id"),
    )

    image_id: Mapped[int] = mapped_column(
        ForeignKey("images.id", ondelete="CASCADE"), primary_key=True
    )
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"), primary_key=True)
    split: Mapped[str] = mapped_column(String(20))  # the image's, which never changes
    decision: Mapped[float] = mapped_column(Double)  # above 0: it looks like a true object
    position: Mapped[int]  # of the detection that looks most like one


class FamilyGrouping(Base):
    """The last grouping of a version's hardest images into families of look-alikes."""

    __tablename__ = "family_groupings"

    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"), primary_key=True)
    network: Mapped[str] = mapped_column(String(64))  # digest of the region network
    num_images: Mapped[int]  # hardest images of the pool that were grouped
    num_mapped: Mapped[int]  # hardest images of the pool that were placed on the map
    grouped_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class Family(Base):
    """One family of a version's last grouping; a new grouping makes new families."""

    __tablename__ = "families"
    __table_args__ = (
        Index("ix_families_model_version_id", "model_version_id", "number"),
        {"sqlite_autoincrement": True},  # never reuse the id of a family that is gone
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    number: Mapped[int]  # from 1, by the best score of a member


class GroupedDetection(Base):
    """
    A detection that a grouping looked at, with its place on the map.

    Of an image of the pool this is the best detection, of a sealed one each of the first few.
    """

    __tablename__ = "grouped_detections"
    __table_args__ = (
        Index("ix_grouped_detections_split", "model_version_id", "split"),
        Index("ix_grouped_detections_family_id", "family_id"),
    )

    image_id: Mapped[int] = mapped_column(
        ForeignKey("images.id", ondelete="CASCADE"), primary_key=True
    )
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)  # of the detection
    split: Mapped[str] = mapped_column(String(20))  # the image's, which never changes
    family_id: Mapped[int | None] = mapped_column(ForeignKey("families.id", ondelete="CASCADE"))
    vector: Mapped[bytes | None] = mapped_column(LargeBinary)  # the region's, little-endian float16
    x: Mapped[float] = mapped_column(Double)
    y: Mapped[float] = mapped_column(Double)


class ImageCount(Base):
    """
    The number of images of a split: the sum over its slots.

    Triggers keep it in the transaction that adds or deletes images. On Postgres each transaction
    counts in a slot that no other transaction uses meanwhile, so writers do not wait for each
    other.
    """

    __tablename__ = "image_counts"

    split: Mapped[str] = mapped_column(String(20), primary_key=True)
    slot: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    num_images: Mapped[int] = mapped_column(BigInteger)  # may be negative in a single slot


class ScoreCount(Base):
    """The number of images of a split that a version has a score row for, like `ImageCount`."""

    __tablename__ = "score_counts"

    model_version_id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)
    split: Mapped[str] = mapped_column(String(20), primary_key=True)
    slot: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    num_scores: Mapped[int] = mapped_column(BigInteger)


class Job(Base):
    """
    One piece of long work, and the worker that runs it.

    A worker holds a running job until `lease_until`. `attempt` counts the claims and is the
    fencing token: each write for the job names it, so a worker that has lost the job changes
    nothing more.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(
            "status IN ('todo', 'running', 'done', 'failed', 'cancelled')", name="status"
        ),
        CheckConstraint("(status = 'running') = (lease_until IS NOT NULL)", name="lease"),
        CheckConstraint("num_done >= 0 AND num_total >= 0", name="progress"),
        Index("ix_jobs_lane_status", "lane", "status", "id"),
        # The database guarantees that at most one job of a lane runs.
        Index(
            "ix_jobs_running_lane",
            "lane",
            unique=True,
            sqlite_where=text("status = 'running'"),
            postgresql_where=text("status = 'running'"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    lane: Mapped[str] = mapped_column(String(40))
    status: Mapped[str] = mapped_column(String(20), default="todo")
    params: Mapped[dict[str, object]] = mapped_column(JSON)
    result: Mapped[dict[str, object] | None] = mapped_column(JSON(none_as_null=True))
    resume: Mapped[dict[str, object] | None] = mapped_column(JSON(none_as_null=True))
    attempt: Mapped[int] = mapped_column(default=0)
    num_failures: Mapped[int] = mapped_column(
        default=0
    )  # attempts that failed, dead workers included
    max_failures: Mapped[int]  # the job fails at this many
    failure: Mapped[str | None]  # the last attempt's
    worker: Mapped[str | None]
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    not_before: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    stage: Mapped[str] = mapped_column(default="")  # the worker's present step
    stage_started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    stage_first_done: Mapped[int] = mapped_column(default=0)  # num_done when a resumed stage began
    num_done: Mapped[int] = mapped_column(default=0)
    num_total: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class JobEvent(Base):
    """One line of a job's history, which never changes."""

    __tablename__ = "job_events"
    __table_args__ = (
        CheckConstraint("kind IN ('state', 'log')", name="kind"),
        Index("ix_job_events_job_id", "job_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    kind: Mapped[str] = mapped_column(String(10))
    message: Mapped[str]
    data: Mapped[dict[str, object]] = mapped_column(JSON, default=dict)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class ScanRange(Base):
    """
    Images of one split and a range of ids, which one process at a time scores with a version.

    A process holds a running range until `lease_until`. `attempt` counts the claims and is the
    fencing token. The ranges of no job help the service to score with the serving version.
    """

    __tablename__ = "scan_ranges"
    __table_args__ = (
        CheckConstraint("status IN ('todo', 'running', 'done', 'failed')", name="status"),
        CheckConstraint("(status = 'running') = (lease_until IS NOT NULL)", name="lease"),
        CheckConstraint("after_id < until_id", name="ids"),
        Index("ix_scan_ranges_scan", "job_id", "model_version_id", "split", "until_id"),
        # For the two statements of a claim: each reads the first row of one of these.
        Index(
            "ix_scan_ranges_todo",
            "job_id",
            "model_version_id",
            "num_failures",
            "id",
            sqlite_where=text("status = 'todo'"),
            postgresql_where=text("status = 'todo'"),
        ),
        Index(
            "ix_scan_ranges_running",
            "job_id",
            "model_version_id",
            "lease_until",
            sqlite_where=text("status = 'running'"),
            postgresql_where=text("status = 'running'"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    split: Mapped[str] = mapped_column(String(20))
    after_id: Mapped[int] = mapped_column(BigInteger)  # of the last image before the range
    until_id: Mapped[int] = mapped_column(BigInteger)  # of its last image
    status: Mapped[str] = mapped_column(String(20), default="todo")
    attempt: Mapped[int] = mapped_column(default=0)
    num_failures: Mapped[int] = mapped_column(default=0)  # holders that died or left out images
    worker: Mapped[str | None]
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class TrainingRun(Base):
    """
    One training, here or elsewhere: its parameters, its version and the decision on it.

    A list that is frozen for a training elsewhere has no job until its version is added; then it
    has the job that measures that version.
    """

    __tablename__ = "training_runs"
    __table_args__ = (
        UniqueConstraint("job_id", "iteration", name="uq_training_runs_job_id_iteration"),
        CheckConstraint("verdict IN ('promoted', 'refused', 'offered')", name="verdict"),
        Index("ix_training_runs_model_version_id", "model_version_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))
    iteration: Mapped[int]  # counted from 1
    parent_version_id: Mapped[int | None] = mapped_column(
        "start_version_id", ForeignKey("model_versions.id")
    )
    model_version_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))
    params: Mapped[dict[str, object]] = mapped_column(JSON)
    history: Mapped[list[dict[str, object]]] = mapped_column(
        JSON, default=list
    )  # one item for each epoch
    holding: Mapped[dict[str, object] | None] = mapped_column(
        JSON(none_as_null=True)
    )  # which images were held back, and why
    recipes: Mapped[dict[str, object] | None] = mapped_column(
        JSON(none_as_null=True)
    )  # what was tried; once any run has this, a fifth of the pool is never mined
    decision: Mapped[str | None] = mapped_column(
        "verdict", String(20)
    )  # whether the version serves
    reason: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class TrainingRunImage(Base):
    """One line of a run's frozen training list, which outlives the image."""

    __tablename__ = "training_run_images"
    __table_args__ = (CheckConstraint("role IN ('labelled', 'kept', 'mined')", name="role"),)

    run_id: Mapped[int] = mapped_column(
        ForeignKey("training_runs.id", ondelete="CASCADE"), primary_key=True
    )
    image_id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)
    sha256: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(20))  # kept: a negative of an earlier run
    # Only of a negative that holds an object: [x1, y1, x2, y2] in pixels of the upright image.
    ignored_boxes: Mapped[list[list[float]] | None] = mapped_column(JSON(none_as_null=True))
    background_boxes: Mapped[list[list[float]] | None] = mapped_column(JSON(none_as_null=True))


class VersionEvaluation(Base):
    """The last measurement of a model version, on val and negative-test as they were then."""

    __tablename__ = "version_evaluations"

    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"), primary_key=True)
    figures: Mapped[dict[str, object]] = mapped_column(JSON)
    preprocessing_warning: Mapped[dict[str, object] | None] = mapped_column(JSON(none_as_null=True))
    evaluated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
