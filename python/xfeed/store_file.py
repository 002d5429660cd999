"""A post store in a file."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from xfeed import _core
from xfeed.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCE: Final = "xfeed.PostStore"
"""What the offsets of such a file belong to is the caller's business."""

NO_LIMIT: Final = 2**64 - 1
"""What the engine takes for no limit in bytes."""


def save(
    store: _core.PostStore,
    arguments: Mapping[str, Any],
    path: str | os.PathLike[str],
    offsets: Mapping[str, int],
) -> None:
    """Writes, checks and names a file; see `PostStore.save`."""
    path = Path(path)
    # Of its own for each call: several threads may save to one path, and the last one stands.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        store.capture(temporary, SOURCE, offsets).sync()
        _core.PostStore.load(temporary, **arguments)
        temporary.replace(path)
        _sync_directory(path.absolute().parent)
    except OSError as error:
        raise StoreError(
            f"`{path}` cannot be written: {error}",
            code="io_failed",
            hint="free disk space or mend the disk and try again; what was there is untouched",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def load(path: str | os.PathLike[str], arguments: Mapping[str, Any]) -> _core.PostStore:
    """Reads a file that was made with the same settings."""
    return _core.PostStore.load(path, **arguments)


def settings_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings that decide what the state in a file holds."""
    settings: dict[str, Any] = dict(_header(path)["settings"])
    if settings.get("max_bytes") == NO_LIMIT:
        settings["max_bytes"] = 0
    return settings


def offsets_of(path: str | os.PathLike[str]) -> dict[str, int]:
    """The offsets in a file."""
    return dict(_header(path)["offsets"])


def _header(path: str | os.PathLike[str]) -> dict[str, Any]:
    header: dict[str, Any] = msgspec.json.decode(_core.snapshot_header(path))
    if header["kind"] != "store":
        raise StoreError(
            f"`{os.fspath(path)}` holds the state of a whole feed, not a store of posts",
            code="bad_snapshot",
            hint="open its data directory with xfeed.Feed.open",
        )
    return header


def _sync_directory(directory: Path) -> None:
    """Forces the names in `directory` to the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
