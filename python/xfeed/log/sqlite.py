"""The embedded log: one SQLite file in WAL mode, which any tool can read.

A batch is one transaction with `synchronous=FULL`, so an acknowledged event survives a kill and a
loss of power. One process writes; a lock file that the kernel releases with the process keeps a
second writer out. Readers need no lock.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

import filelock

from xfeed.errors import StoreError
from xfeed.log.base import Appended

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FILE_NAME = "events.sqlite"
LOCK_NAME = "writer.lock"
FORMAT_VERSION = 1

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS events (
    log_offset INTEGER PRIMARY KEY,
    event_id TEXT,
    payload BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS events_by_id ON events (event_id) WHERE event_id IS NOT NULL;
PRAGMA user_version = {FORMAT_VERSION};
"""


class SqliteLog:
    """An `EventLog` in a directory.

    Args:
        directory: where `events.sqlite` lies; must exist.
        mode: ``"write"`` takes the writer's lock, ``"read"`` takes none.

    Raises:
        StoreError: when another process writes here, when there is nothing to read, or when the
            file is not a log of a known format.
    """

    def __init__(self, directory: Path, *, mode: Literal["write", "read"] = "write") -> None:
        self._path = directory / FILE_NAME
        self._lock: filelock.FileLock | None = None
        self._mutex = threading.Lock()
        self._is_closed = False
        if mode == "write":
            self._lock = _lock_directory(directory)
        elif not self._path.exists():
            raise StoreError(
                f"there is no log in `{directory}`",
                code="no_log",
                hint="ingest something first: `xfeed ingest FILE --data DIR`",
            )
        try:
            self._database = self._connect(mode)
            self._open(writable=mode == "write")
            self._end = self._read_end()
        except sqlite3.DatabaseError as error:
            self._unlock()
            raise StoreError(
                f"`{self._path}` cannot be opened as a log: {error}",
                code="bad_log",
                hint="restore the file from a copy, or start with an empty directory",
            ) from error
        except StoreError:
            self._unlock()
            raise

    def _connect(self, mode: Literal["write", "read"]) -> sqlite3.Connection:
        # A reader must not even tidy up after a writer that was killed.
        access = "ro" if mode == "read" else "rwc"
        location = f"file:{quote(str(self._path.absolute()))}?mode={access}"
        return sqlite3.connect(location, uri=True, isolation_level=None, check_same_thread=False)

    def _open(self, *, writable: bool) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        (foreign,) = self._database.execute(
            "SELECT count(*) FROM sqlite_schema WHERE tbl_name != 'events'"
        ).fetchone()
        if foreign or (version == 0 and not writable):
            raise StoreError(
                f"`{self._path}` is a database of another program",
                code="bad_log",
                hint="name another data directory",
            )
        if version not in {0, FORMAT_VERSION}:
            raise StoreError(
                f"`{self._path}` has format {version}, this xfeed reads format {FORMAT_VERSION}",
                code="bad_log_format",
                hint="open it with the xfeed version that wrote it",
            )
        if writable:
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)
        else:
            self._database.execute("PRAGMA query_only = ON")

    def _read_end(self) -> int:
        (last,) = self._database.execute("SELECT max(log_offset) FROM events").fetchone()
        return 0 if last is None else int(last) + 1

    @property
    def end_offset(self) -> int:
        """Offset after the last durable event."""
        with self._mutex, self._guarded("the end could not be read from"):
            if not self.writable:
                self._end = self._read_end()
            return self._end

    @property
    def writable(self) -> bool:
        """Whether this process may append."""
        return self._lock is not None

    def append(self, payloads: Sequence[bytes], event_ids: Sequence[str | None]) -> Appended:
        """Writes events in one transaction; see `EventLog.append`."""
        if not self.writable:
            raise StoreError(
                "the log is open for reading only",
                code="read_only",
                hint='open the feed with mode="write"',
            )
        with self._mutex, self._guarded(f"{len(payloads)} events could not be written to"):
            known = self._known(event_ids)
            is_new = []
            rows = []
            end = self._end
            for payload, event_id in zip(payloads, event_ids, strict=True):
                fresh = event_id is None or event_id not in known
                is_new.append(fresh)
                if fresh:
                    rows.append((end, event_id, payload))
                    end += 1
                    if event_id is not None:
                        known.add(event_id)
            if rows:
                self._write(rows)
            self._end = end
            return Appended(end, is_new)

    def _known(self, event_ids: Sequence[str | None]) -> set[str]:
        asked = [event_id for event_id in event_ids if event_id is not None]
        if not asked:
            return set()
        found = self._database.execute(
            "SELECT event_id FROM events WHERE event_id IN (SELECT value FROM json_each(?))",
            (json.dumps(asked),),
        )
        return {event_id for (event_id,) in found}

    def _write(self, rows: list[tuple[int, str | None, bytes]]) -> None:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT INTO events VALUES (?, ?, ?)", rows)
            self._database.execute("COMMIT")
        except sqlite3.Error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        """Turns what the database refuses into a clear error."""
        if self._is_closed:
            raise StoreError(
                f"the log in `{self._path.parent}` is closed",
                code="closed",
                hint="open the feed again with Feed.open",
            )
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(
                f"{what} `{self._path}`: {error}",
                code="io_failed",
                hint="free disk space or mend the disk and try again; what was acknowledged stays",
            ) from error

    def read(self, offset: int, batch_len: int) -> Iterator[list[bytes]]:
        """Yields the events from `offset` on; see `EventLog.read`."""
        end = self.end_offset
        while offset < end:
            with self._mutex, self._guarded("events could not be read from"):
                rows = self._database.execute(
                    "SELECT log_offset, payload FROM events WHERE log_offset >= ?"
                    " ORDER BY log_offset LIMIT ?",
                    (offset, min(batch_len, end - offset)),
                ).fetchall()
            if not rows or [at for at, _ in rows] != list(range(offset, offset + len(rows))):
                raise StoreError(
                    f"`{self._path}` has a gap after offset {offset}",
                    code="damaged_log",
                    hint="restore the file from a copy",
                )
            offset += len(rows)
            yield [payload for _, payload in rows]

    def close(self) -> None:
        """Closes the file and lets the next writer in."""
        with self._mutex:
            self._is_closed = True
            self._database.close()
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()


def _lock_directory(directory: Path) -> filelock.FileLock:
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
