"""A data directory that Kafka feeds: who may feed it, and the mark that says so."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from xfeed.errors import StoreError
from xfeed.kafka.plan import Saved
from xfeed.log.directory import KAFKA_NAME, lock_directory
from xfeed.log.sqlite import FILE_NAME as LOG_NAME

if TYPE_CHECKING:
    from pathlib import Path

    import filelock

    from xfeed.kafka.cluster import Cluster

FORMAT = 1


class _Marker(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    cluster_id: str
    topics: list[str]


def take(directory: Path) -> filelock.FileLock:
    """Takes the writer's lock of a directory that Kafka feeds or that is new.

    Raises:
        StoreError: when another process has it, or the directory has a log of its own.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"`{directory}` cannot be made: {error}",
            code="bad_directory",
            hint="name a directory that you may write to",
        ) from error
    lock = lock_directory(directory)
    if (directory / LOG_NAME).exists():
        lock.release()
        raise StoreError(
            f"`{directory}` has a log of its own, and a directory has one source of events",
            code="other_source",
            hint="name another directory for the topics",
        )
    return lock


def read_marker(directory: Path) -> Saved | None:
    """What the mark says, without offsets; None where there is none.

    Raises:
        StoreError: when it cannot be read.
    """
    path = directory / KAFKA_NAME
    if not path.exists():
        return None
    try:
        marker = msgspec.json.decode(path.read_bytes(), type=_Marker)
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(
            f"`{path}` cannot be read: {error}",
            code="bad_marker",
            hint="restore it from a copy, or start with an empty directory",
        ) from error
    if marker.format != FORMAT:
        raise StoreError(
            f"`{path}` has format {marker.format}, this xfeed reads format {FORMAT}",
            code="bad_marker",
            hint="use the xfeed version that wrote it",
        )
    return Saved(marker.cluster_id, dict.fromkeys(marker.topics, ""), {})


def write_marker(directory: Path, cluster: Cluster) -> None:
    """Marks the directory with the cluster and the topics that feed it.

    Raises:
        StoreError: when another cluster feeds it, or it cannot be written.
    """
    wanted = _Marker(FORMAT, cluster.cluster_id, list(cluster.topics))
    path = directory / KAFKA_NAME
    content = msgspec.json.encode(wanted) + b"\n"
    try:
        if path.exists() and path.read_bytes() == content:
            return
        fresh = path.with_suffix(".tmp")
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise StoreError(
            f"`{path}` cannot be written: {error}",
            code="io_failed",
            hint="free disk space, or name a directory that you may write to",
        ) from error
