"""Model bundles of a data directory: which one is active, and how a new one takes over.

`bundles/<id>/` holds one bundle each, `bundles/active` names the one that serves. The name is
replaced in one step, so a reader sees the old bundle or the new one, never half of each.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from xfeed.errors import BundleError

if TYPE_CHECKING:
    from pathlib import Path

    from xfeed.phoenix.runtime import Phoenix

DIRECTORY = "bundles"
ACTIVE = "active"


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
        path = self._directory / ACTIVE
        return path.read_text("utf-8").strip() if path.exists() else None

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

        from xfeed.phoenix.runtime import Phoenix

        torch.set_num_threads(self._threads)
        try:
            self._loaded = Phoenix.load(self._directory / bundle_id)
            self.problem = ""
        except BundleError as error:
            self.problem = f"bundle {bundle_id[:12]} is not served: {error}"

    def activate(self, bundle_id: str) -> None:
        """Makes a bundle below `directory` the active one, after loading it.

        Raises:
            BundleError: when it cannot be loaded; the old one stays active.
        """
        from xfeed.phoenix.runtime import Phoenix

        loaded = Phoenix.load(self._directory / bundle_id)
        with self._lock:
            temporary = self._directory / f"{ACTIVE}.new"
            with temporary.open("w", encoding="utf-8") as file:
                file.write(bundle_id + "\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._directory / ACTIVE)
            self._loaded, self._tried, self.problem = loaded, bundle_id, ""
