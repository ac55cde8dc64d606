"""Activation of versions: each is loaded beside the old one, then swapped in."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import structlog
from sqlalchemy.exc import DBAPIError

from service.scoring.engine import LoadedVersion
from service.scoring.resources import Resources
from service.serving import store
from service.serving.loading import compile_version, is_worth_compiling, load_version
from service.tables import ModelVersion
from service.text import without_folders

PAUSE_AFTER_FAILURE_S = 5.0

log = structlog.get_logger()


class VersionSwitch:
    """
    The switch that keeps the scorer on the version activated last, here or by another process.

    Where compiled code screens a large pool faster, a version serves at once as it is, and is
    compiled in another thread meanwhile.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._scorer = resources.scorer
        self._lock = Lock()  # held while a version is loaded and swapped in
        self._closing = Event()
        self._compiler = ThreadPoolExecutor(1, thread_name_prefix="compile")
        # The last version that was compiled, is being compiled, or gains nothing by it.
        self._compiled: LoadedVersion | None = None

    def activate(self, version: ModelVersion) -> None:
        """
        Load a version beside the old one, record that it serves, and swap it in.

        Raises CheckpointError or FileNotFoundError; the old version goes on serving then.
        """
        with self._lock:
            loaded = self._load(version)
            with self._resources.sessions.begin() as session:
                store.add_activation(session, version.id)
            self._scorer.swap(loaded)

    def follow(self) -> None:
        """Load what another process has activated, or this one before it was started again."""
        with self._lock:
            with self._resources.read_sessions.begin() as session:
                version = store.serving_version(session)
                compiles = is_worth_compiling(self._resources.settings, session)
            if version is None:
                return
            serving = self._scorer.serving
            if serving is None or serving.id != version.id:
                self._swap_in(version)
            elif compiles:
                self._start_compiling(version, serving)

    def close(self) -> None:
        """Wait for a version that is being compiled."""
        self._closing.set()
        self._compiler.shutdown(cancel_futures=True)

    def _swap_in(self, version: ModelVersion) -> None:
        try:
            self._scorer.swap(self._load(version))
        except DBAPIError:  # not the version's fault; /readyz reports a database that is away
            raise
        except Exception as error:
            self._scorer.loading_failure = without_folders(str(error).partition("\n")[0])
            raise
        log.info("serving", model_version=version.name)

    def _load(self, version: ModelVersion) -> LoadedVersion:
        serving = self._scorer.serving
        if serving is not None and serving.id == version.id:
            return serving
        return load_version(self._resources, version)

    def _start_compiling(self, version: ModelVersion, serving: LoadedVersion) -> None:
        if serving is not self._compiled:
            self._compiled = serving
            self._compiler.submit(self._compile, version, serving)

    def _compile(self, version: ModelVersion, serving: LoadedVersion) -> None:
        if self._scorer.serving is not serving:
            return
        try:
            compiled = compile_version(self._resources, serving, version)
        except Exception as error:  # the blob store or the database does not answer
            log.error("a version is not compiled, will try again", exc_info=error)
            self._closing.wait(PAUSE_AFTER_FAILURE_S)
            self._compiled = None
            return
        with self._lock:
            if self._scorer.serving is serving:
                self._scorer.swap(compiled)
                self._compiled = compiled
