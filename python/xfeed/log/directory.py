"""Who may write to a data directory: one process at a time, and one source of events for good."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import filelock

from xfeed.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

LOCK_NAME = "writer.lock"

KAFKA_NAME = "kafka.json"
"""Marks a directory that Kafka feeds: there the topics are the log."""


def lock_directory(directory: Path) -> filelock.FileLock:
    """Takes the writer's lock, which the kernel releases with the process.

    Raises:
        StoreError: when another process has it, or the directory cannot be written to.
    """
    path = directory / LOCK_NAME
    lock = filelock.FileLock(path, blocking=False, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        holder = path.with_suffix(".pid")
        pid = holder.read_text().strip() if holder.exists() else "unknown"
        raise StoreError(
            f"another process (pid {pid}) writes to `{directory}`",
            code="locked",
            hint='stop it, or open the feed with mode="read"',
        ) from None
    try:
        path.with_suffix(".pid").write_text(f"{os.getpid()}\n")
    except OSError as error:
        lock.release()
        raise StoreError(
            f"`{directory}` cannot be written to: {error}",
            code="io_failed",
            hint="free disk space, or name a directory that you may write to",
        ) from error
    return lock


def refuse_kafka(directory: Path) -> None:
    """Keeps events of another kind out of a directory that Kafka feeds.

    Raises:
        StoreError: when Kafka feeds it.
    """
    if (directory / KAFKA_NAME).exists():
        raise StoreError(
            f"`{directory}` is fed by Kafka, and a directory has one source of events",
            code="fed_by_kafka",
            hint="produce the events to the topic (`xfeed kafka produce`), or name another"
            ' directory; to read this one, use mode="read"',
        )
