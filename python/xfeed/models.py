"""Model bundles of a data directory: which one is active, and how a new one takes over.

`bundles/<id>/` holds one bundle each, `bundles/active` names the one that serves and
`bundles/previous` the one before, which serves when the active one is damaged. A name is replaced
in one step, so a reader sees the old bundle or the new one, never half of each.
"""

from __future__ import annotations

import os
import shutil
import threading
from typing import TYPE_CHECKING

from xfeed.errors import BundleError

if TYPE_CHECKING:
    from pathlib import Path

    from xfeed.phoenix.runtime import Phoenix

DIRECTORY = "bundles"
ACTIVE = "active"
PREVIOUS = "previous"


class ModelStore:
    """The bundles below one data directory.

    Args:
        directory: the data directory.
        threads: threads torch may use in this process.
    """

    def __init__(self, directory: Path, threads: int) -> None:
        self._directory = directory / DIRECTORY
        self._threads = threads
        self._lock = threading.Lock()
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

    def current(self) -> Phoenix | None:
        """The active bundle, loaded on first use.

        A bundle that cannot be loaded never becomes active: the one before it keeps serving, and
        `problem` says why.
        """
        with self._lock:
            wanted = self.active_id()
            if wanted is not None and wanted != self._tried:
                self._tried = wanted
                self._load(wanted)
            return self._loaded

    def _load(self, bundle_id: str) -> None:
        # torch takes seconds to import and is not needed before there is a model.
        import torch

        torch.set_num_threads(self._threads)
        try:
            self._loaded, self.problem = self._checked(bundle_id), ""
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, pages are served
            self.problem = f"bundle {bundle_id[:12]} is not served: {error}"
            previous = self._read(PREVIOUS)
            if self._loaded is None and previous is not None:
                self._load_previous(previous)

    def _load_previous(self, bundle_id: str) -> None:
        try:
            self._loaded = self._checked(bundle_id)
        except Exception as error:  # noqa: BLE001 - as above
            self.problem += f"; nor is bundle {bundle_id[:12]}: {error}"

    def _checked(self, bundle_id: str) -> Phoenix:
        from xfeed.phoenix.runtime import Phoenix

        loaded = Phoenix.load(self._directory / bundle_id)
        if loaded.bundle_id != bundle_id:
            raise BundleError(
                f"the manifest has the hash `{loaded.bundle_id[:12]}`, the bundle is called "
                f"`{bundle_id[:12]}`",
                code="wrong_id",
                hint="restore the bundle from a copy, or fit again",
            )
        return loaded

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
