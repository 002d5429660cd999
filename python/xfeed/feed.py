"""The feed: one data directory, from events to explained pages."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from xfeed import _core
from xfeed import config as config_module
from xfeed import ingest as ingest_module
from xfeed.adapters import RawLine
from xfeed.adapters import adapter as find_adapter
from xfeed.config import MAX_PAGE_LEN
from xfeed.errors import ConfigError, EventError, StoreError
from xfeed.events import EventLike, system_now_ms, to_payload
from xfeed.ids import IdLike, to_u64
from xfeed.kafka.reading import SnapshotFold, TopicsLog
from xfeed.log import SqliteLog
from xfeed.mixer import FeedResult, Parts, Pipeline
from xfeed.mixer.page import make_page
from xfeed.mixer.result import Receipt, Where
from xfeed.models import ModelStore, runtime_options
from xfeed.presets import load_preset
from xfeed.replay import Fold, world_settings
from xfeed.snapshots import SnapshotStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from xfeed.config import FeedConfig
    from xfeed.ingest import IngestReport
    from xfeed.log import EventLog
    from xfeed.phoenix.bundles.table_streams import TableDtype
    from xfeed.phoenix.learning.optimize import Progress
    from xfeed.phoenix.learning.train import FitReport
    from xfeed.phoenix.published.checkpoint import ImportReport
    from xfeed.replay import SnapshotState
    from xfeed.snapshots import SnapshotInfo

CLOSING_SHARE = 10
"""A clean close makes a snapshot after this part of the events that would make one anyway."""

MAX_NOW_MS = 253_402_300_799_999
"""End of the year 9999."""


class Feed:
    """A feed over one data directory; make one with `Feed.open`.

    Safe to use from several threads. Exactly one process may have it open for writing.

    Example:
        >>> import tempfile
        >>> with Feed.open(tempfile.mkdtemp()) as feed:
        ...     _ = feed.ingest([
        ...         {"type": "follow", "at_ms": 1, "user_id": "ann", "target_id": "bob"},
        ...         {"type": "post", "at_ms": 2, "post_id": 7, "author_id": "bob", "text": "hi"},
        ...     ])
        ...     page = feed.for_you("ann")
        >>> page[0].post_id, page.mode
        ('7', 'newest_then_popular')
    """

    def __init__(self, directory: Path, log: EventLog, config: FeedConfig) -> None:
        self._directory = directory
        self._log = log
        self._can_write = log.writable
        self._config = config
        self._preset = load_preset(config.scoring.preset)
        self._models = ModelStore(directory, runtime_options(config))
        if log.writable:
            self._models.sweep()
        snapshots = SnapshotStore(directory, writable=log.writable)
        # Beside topics there is nothing to fold: the state is what the newest snapshot holds.
        fold = SnapshotFold if isinstance(log, TopicsLog) else Fold
        self._fold = fold(log, world_settings(config), snapshots)
        self._is_closed = False
        self._fit_lock = threading.Lock()
        self._pipeline_lock = threading.Lock()
        self._pipeline: Pipeline | None = None
        # A wrong weight or stage name is an error now, not at the first request.
        Pipeline(Parts(self.world, config, self._preset, None))
        self._weights_digest = self._preset.digest_with(config.scoring.weights)
        self.refresh()

    @classmethod
    def open(
        cls,
        directory: Path | str,
        *,
        mode: Literal["write", "read"] = "write",
        config: Mapping[str, Any] | None = None,
    ) -> Self:
        """Opens a data directory: the newest good snapshot and what the log got since.

        One that Kafka feeds can be opened for reading: its newest snapshot, without what the topics
        got since.

        Args:
            directory: made when it does not exist and `mode` is ``"write"``.
            mode: ``"read"`` opens beside a writer and changes neither the log nor the models
                (SQLite may put working files of its own beside the log).
            config: nested settings that override `xfeed.toml` and the environment.

        Raises:
            StoreError: when another process writes here, or there is nothing to read.
            ConfigError: when a setting is unknown or out of its bounds.
        """
        path = Path(directory)
        if mode == "write":
            _make_directory(path)
        settings = config_module.load_config(path, config)
        reads_topics = mode == "read" and TopicsLog.feeds(path)
        log = TopicsLog(path) if reads_topics else SqliteLog(path, mode=mode)
        try:
            return cls(path, log, settings)
        except BaseException:
            log.close()
            raise

    def refresh(self) -> int:
        """Folds what another process wrote since the last call; returns how many events.

        A feed that is open for reading does this before every page.
        """
        return self._fold.refresh()

    @property
    def config(self) -> FeedConfig:
        """All settings."""
        return self._config

    @property
    def world(self) -> _core.World:
        """The state, for stages of your own."""
        return self._fold.world

    @property
    def log_offset(self) -> int:
        """How many events of the log the state holds."""
        return self._fold.offset

    @property
    def snapshot_state(self) -> SnapshotState:
        """How it stands with the snapshots: where the newest one is, and what went wrong."""
        return self._fold.snapshot_state

    def snapshot(self) -> SnapshotInfo:
        """Makes a snapshot now; pages are made meanwhile.

        Raises:
            StoreError: when it cannot be made, or the feed is open for reading only. The snapshots
                that were there stay.
        """
        if not self._can_write:
            raise StoreError(
                "the feed is open for reading only, and a snapshot is a file",
                code="read_only",
                hint='open the feed with mode="write"',
            )
        return self._fold.snapshot()

    @property
    def directory(self) -> Path:
        """The data directory."""
        return self._directory

    @property
    def model_problem(self) -> str:
        """Why the active model does not serve; empty when it does or when there is none."""
        return self._models.problem

    def counts(self) -> dict[str, int]:
        """How much there is of everything."""
        return self.world.counts()

    def state_hash(self) -> str:
        """Hash of the whole state; equal logs give equal hashes."""
        return self._fold.state_hash()

    def now_ms(self) -> int:
        """The time of a request that names none; see `config.clock`."""
        return self.world.last_ms if self._config.clock == "log" else system_now_ms()

    def ingest(
        self,
        events: Iterable[EventLike],
        *,
        source: str = "<events>",
        on_ack: Callable[[IngestReport], None] | None = None,
    ) -> IngestReport:
        """Appends events to the log and folds them in.

        Args:
            events: `Event` objects, mappings or JSON lines; read lazily.
            source: name of where they come from, for the dead-letter file.
            on_ack: called with the report so far whenever a batch is durable.

        Returns:
            How many were read, accepted, left out as repetitions, and refused by reason. Refused
            events are in `dead_letters.jsonl`; they never stop the others.

        Raises:
            StoreError: when the log cannot be written or is open for reading only.
        """
        lines = (RawLine(_payload(event), source, i) for i, event in enumerate(events, start=1))
        return self._ingest_lines(lines, on_ack)

    def ingest_files(
        self,
        paths: Sequence[Path | str],
        *,
        format: str = "jsonl",  # noqa: A002 - the word that users know
        on_ack: Callable[[IngestReport], None] | None = None,
    ) -> IngestReport:
        """Reads files of a known format; see `docs/adapters.md`.

        Raises:
            ConfigError: for an unknown format or a file that is not of it.
            StoreError: when the log cannot be written.
        """
        reader = find_adapter(format)
        lines = reader.read([Path(path) for path in paths])
        return self._ingest_lines(lines, on_ack)

    def _ingest_lines(
        self, lines: Iterable[RawLine], on_ack: Callable[[IngestReport], None] | None
    ) -> IngestReport:
        every = self._config.snapshot.every_events

        def acknowledged(report: IngestReport) -> None:
            if on_ack is not None:
                on_ack(report)
            if every:
                self._fold.snapshot_after(every)

        return ingest_module.ingest(
            lines,
            fold=self._fold,
            directory=self._directory,
            batch_len=self._config.ingest_batch_len,
            now_ms=system_now_ms(),
            on_ack=acknowledged,
        )

    def fit(
        self,
        *,
        progress: Callable[[Progress], None] | None = None,
        activate_anyway: bool = False,
    ) -> FitReport:
        """Trains retrieval and ranking on the log, evaluates on the newest part, and activates.

        The next page is ranked by the new model; until then the old one serves. A ranker that is
        clearly worse than the active one is not activated; the report says so.

        Args:
            progress: called after each training step.
            activate_anyway: activates the new models even if they are worse than the active ones
                on the held-out impressions.

        Raises:
            ConfigError: when the log holds too little to learn from.
            BundleError: when training did not end well; the old model keeps serving.
            StoreError: when the feed is open for reading only.
        """
        if not self._can_write:
            raise StoreError(
                "the feed is open for reading only, and a fit writes a model",
                code="read_only",
                hint='open the feed with mode="write"',
            )
        from xfeed.training import fit

        with self._fit_lock:
            return fit(
                self._log, self._models, self._config, progress, activate_anyway=activate_anyway
            )

    def import_model(
        self, source: Path | str, *, table_dtype: TableDtype = "float32", activate: bool = True
    ) -> ImportReport:
        """Brings in models from a published checkpoint; nothing in it is executed.

        Args:
            source: directory of the checkpoint (`docs/models.md` says what it holds).
            table_dtype: how embedding rows are stored; smaller is less exact.
            activate: whether the models serve from the next page on.

        Raises:
            BundleError: the checkpoint is damaged; the old model keeps serving.
            StoreError: when the feed is open for reading only.
        """
        if not self._can_write:
            raise StoreError(
                "the feed is open for reading only, and an import writes a model",
                code="read_only",
                hint='open the feed with mode="write"',
            )
        from xfeed.model_import import import_model

        with self._fit_lock:
            return import_model(Path(source), self._models, table_dtype, activate=activate)

    def for_you(
        self, viewer_id: IdLike, *, limit: int | None = None, now_ms: int | None = None
    ) -> FeedResult:
        """Makes a page.

        Args:
            viewer_id: who asks; anybody, also somebody never heard of.
            limit: posts on the page, 1 to 500; `config.page_size` when None.
            now_ms: time of the request in unix milliseconds; `Feed.now_ms` when None.

        Raises:
            ConfigError: when `limit` is out of bounds.
            EventError: when `viewer_id` is no id.
        """
        asked = self._config.page_size if limit is None else limit
        length = _checked("limit", asked, 1, MAX_PAGE_LEN)
        if not self._can_write:
            # Beside a writer, a block must hold on the next page.
            self._fold.refresh()
        when = _checked("now_ms", self.now_ms() if now_ms is None else now_ms, 0, MAX_NOW_MS)
        pipeline = self._current_pipeline()
        receipt = self._receipt(pipeline, when)
        run = pipeline.run(to_u64(viewer_id), when, length)
        page = make_page(pipeline, run, receipt, str(viewer_id))
        pipeline.run_side_effects(run.query, page)
        return page

    def where(self, post_id: IdLike, viewer_id: IdLike, *, now_ms: int | None = None) -> Where:
        """What becomes of a post on the page of a viewer."""
        return self.for_you(viewer_id, now_ms=now_ms).where(post_id)

    def _current_pipeline(self) -> Pipeline:
        # A load takes long and must not hold the lock that every page needs. What is loaded is
        # asked for again below, so that a slow thread never goes back to an older model.
        self._models.current()
        with self._pipeline_lock:
            model, world = self._models.loaded, self.world
            pipeline = self._pipeline
            if (
                pipeline is None
                or pipeline.parts.model is not model
                or pipeline.parts.world is not world
            ):
                pipeline = Pipeline(Parts(world, self._config, self._preset, model))
                self._pipeline = pipeline
            return pipeline

    def _receipt(self, pipeline: Pipeline, now_ms: int) -> Receipt:
        model = pipeline.parts.model
        return Receipt(
            log_offset=self._fold.offset,
            bundle_id="" if model is None else model.bundle_id,
            preset=self._preset.name,
            weights_digest=self._weights_digest,
            config_digest=self._config.digest,
            seed=self._config.seed,
            now_ms=now_ms,
        )

    def close(self) -> None:
        """Lets go of the log; a writer makes room for the next one.

        A writer first makes a snapshot if much has changed since the last.
        """
        if self._is_closed:
            return
        every = self._config.snapshot.every_events
        try:
            if self._can_write and every:
                self._fold.snapshot_after(max(every // CLOSING_SHARE, 1))
        finally:
            self._is_closed = True
            self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            # What went wrong may be the disk; whoever waits for the error waits for nothing else.
            self._is_closed = True
            self._log.close()

    def __repr__(self) -> str:
        return f"Feed({str(self._directory)!r}, log_offset={self._fold.offset})"


def _payload(event: EventLike) -> bytes:
    """The JSON line of `event`; for one that cannot be JSON, text that the decoder refuses."""
    try:
        return to_payload(event)
    except (EventError, TypeError, ValueError, RecursionError):
        return repr(event).encode("utf-8", "backslashreplace")


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"`{path}` cannot be made: {error}",
            code="bad_directory",
            hint="name a directory that you may write to",
        ) from error


def _checked(name: str, value: object, low: int, high: int) -> int:
    if isinstance(value, int) and low <= value <= high:
        return value
    raise ConfigError(
        f"`{name}` is `{value}`, an integer in {low} ..= {high} is needed",
        code=f"bad_{name}",
        hint="leave it out for the usual one",
    )
