"""Model bundles of a data directory: which one is active, and how a new one takes over.

`bundles/<id>/` holds one bundle each, `bundles/active` names the one that serves and
`bundles/previous` the one before, which serves when the active one is damaged. A name is replaced
in one step, so a reader sees the old bundle or the new one, never half of each. While a new one is
loaded, the old one goes on serving; what was cached for it goes with it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from xfeed.errors import BundleError
from xfeed.phoenix.options import RuntimeOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xfeed.config import FeedConfig
    from xfeed.phoenix.runtime import Phoenix

DIRECTORY = "bundles"
ACTIVE = "active"
PREVIOUS = "previous"

UNFINISHED = ("new-*", ".new-*.tmp")
"""What is being made; left over only by a process that was killed."""


def runtime_options(config: FeedConfig) -> RuntimeOptions:
    """How the settings say that models are run.

    Raises:
        ConfigError: settings contradict each other.
    """
    model = config.model
    return RuntimeOptions(
        engine=model.engine,
        device=model.device,
        dtype=model.dtype,
        threads=config.threads,
        context_cache_bytes=model.context_cache_bytes,
        score_cache_entries=model.score_cache_entries,
        max_batch_viewers=model.max_batch_viewers,
        batch_wait_ms=model.batch_wait_ms,
        candidate_chunk=model.candidate_chunk,
        compile=model.compile,
        warm_up=model.warm_up,
    )


class ModelStore:
    """The bundles below one data directory.

    Args:
        directory: the data directory.
        options: how loaded bundles are run; torch gets as many threads in this process.
    """

    def __init__(self, directory: Path, options: RuntimeOptions) -> None:
        self._directory = directory / DIRECTORY
        self._options = options
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._loaded: Phoenix | None = None
        self._tried: str | None = None
        self.problem = ""
        """Why the active bundle does not serve; empty when it does or when there is none."""

    @property
    def directory(self) -> Path:
        """Where bundles lie."""
        return self._directory

    def active_id(self) -> str | None:
        """Id of the bundle that should serve; None when there is none."""
        return self._read(ACTIVE)

    @property
    def loaded(self) -> Phoenix | None:
        """What serves at this moment; loads nothing and never waits."""
        return self._loaded

    def current(self) -> Phoenix | None:
        """The active bundle, loaded on first use.

        The first to notice a new one loads it; others are served by the old one meanwhile, and
        wait only when there is none. A bundle that cannot be loaded never becomes active: the one
        before it keeps serving, and `problem` says why.
        """
        wanted = self.active_id()
        if wanted is None or wanted == self._tried:
            return self._loaded
        if not self._loading.acquire(blocking=self._loaded is None):
            return self._loaded
        try:
            while (wanted := self.active_id()) is not None and wanted != self._tried:
                self._load(wanted)
        finally:
            self._loading.release()
        return self._loaded

    def _load(self, bundle_id: str) -> None:
        loaded, problem = self._loaded, ""
        try:
            loaded = self._checked(bundle_id)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, pages are served
            problem = f"bundle {bundle_id[:12]} is not served: {error}"
            previous = self._read(PREVIOUS)
            if loaded is None and previous is not None:
                try:
                    loaded = self._checked(previous)
                except Exception as second:  # noqa: BLE001 - as above
                    problem += f"; nor is bundle {previous[:12]}: {second}"
        with self._lock:
            # another may have been activated while this one was loaded
            if self.active_id() == bundle_id:
                self._loaded, self._tried, self.problem = loaded, bundle_id, problem

    def _checked(self, bundle_id: str) -> Phoenix:
        # torch takes seconds to import and is not needed before there is a model.
        import torch

        from xfeed.phoenix.runtime import Phoenix

        torch.set_num_threads(self._options.threads)
        loaded = Phoenix.load(self._directory / bundle_id, self._options)
        if loaded.bundle_id != bundle_id:
            raise BundleError(
                f"the manifest has the hash `{loaded.bundle_id[:12]}`, the bundle is called "
                f"`{bundle_id[:12]}`",
                code="wrong_id",
                hint="restore the bundle from a copy, or fit again",
            )
        return loaded

    @contextlib.contextmanager
    def place_for_new(self) -> Iterator[Path]:
        """A directory to make a bundle in; it goes afterwards, with what was not accepted.

        For one fit or import at a time, in the process that has the data directory open for
        writing: what an earlier one left unfinished goes first.
        """
        self.sweep()
        self._directory.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix="new-", dir=self._directory))
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def sweep(self) -> None:
        """Removes what killed fits and imports left behind, which may be gigabytes.

        Only for who has the data directory open for writing, while nobody fits or imports: nobody
        else can be at work on any of it then.
        """
        for pattern in UNFINISHED:
            for path in self._directory.glob(pattern):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)

    def accept(self, new: Path, bundle_id: str) -> None:
        """Moves a new bundle to its place; a good one of the same id stays, a damaged one goes."""
        final = self._directory / bundle_id
        if final.exists():
            try:
                self._checked(bundle_id)
            except Exception:  # noqa: BLE001 - any damage is a reason to replace it
                shutil.rmtree(final)
        if not final.exists():
            new.rename(final)

    def activate(self, bundle_id: str) -> None:
        """Makes a bundle below `directory` the active one, after loading it.

        Raises:
            BundleError: when it cannot be loaded; the old one stays active.
        """
        loaded = self._checked(bundle_id)
        with self._lock:
            before = self.active_id()
            if before is not None and before != bundle_id:
                self._write(PREVIOUS, before)
            self._write(ACTIVE, bundle_id)
            self._loaded, self._tried, self.problem = loaded, bundle_id, ""

    def _read(self, name: str) -> str | None:
        path = self._directory / name
        return path.read_text("utf-8").strip() if path.exists() else None

    def _write(self, name: str, bundle_id: str) -> None:
        temporary = self._directory / f"{name}.new"
        with temporary.open("w", encoding="utf-8") as file:
            file.write(bundle_id + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._directory / name)
