"""The embedded log: one SQLite file in WAL mode, which any tool can read.

A batch is one transaction with `synchronous=FULL`, so an acknowledged event survives a kill and a
loss of power. One process writes; a lock file that the kernel releases with the process keeps a
second writer out. Readers need no lock.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from xfeed.errors import StoreError
from xfeed.log.base import Appended
from xfeed.log.directory import lock_directory, refuse_kafka

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import filelock

FILE_NAME = "events.sqlite"
FORMAT_VERSION = 2
"""Format 1 had no `meta`; a writer adds it."""

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS events (
    log_offset INTEGER PRIMARY KEY,
    event_id TEXT,
    payload BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS events_by_id ON events (event_id) WHERE event_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
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
            self._lock = lock_directory(directory)
        elif not self._path.exists():
            raise StoreError(
                f"there is no log in `{directory}`",
                code="no_log",
                hint="ingest something first: `xfeed ingest FILE --data DIR`",
            )
        try:
            if mode == "write":
                refuse_kafka(directory)
            self._database = self._connect(mode)
            self._open(writable=mode == "write")
            self._end = self._read_end()
            self._identity = self._read_identity()
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
            "SELECT count(*) FROM sqlite_schema WHERE tbl_name NOT IN ('events', 'meta')"
        ).fetchone()
        if foreign or (version == 0 and not writable):
            raise StoreError(
                f"`{self._path}` is a database of another program",
                code="bad_log",
                hint="name another data directory",
            )
        if not 0 <= version <= FORMAT_VERSION:
            raise StoreError(
                f"`{self._path}` has format {version}, this xfeed reads format {FORMAT_VERSION}",
                code="bad_log_format",
                hint="open it with the xfeed version that wrote it",
            )
        if writable:
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)
            # A log that is made anew in the same place must not be taken for the one before.
            self._database.execute(
                "INSERT INTO meta VALUES ('identity', ?) ON CONFLICT DO NOTHING",
                (secrets.token_hex(16),),
            )
        else:
            self._database.execute("PRAGMA query_only = ON")

    def _read_end(self) -> int:
        (last,) = self._database.execute("SELECT max(log_offset) FROM events").fetchone()
        return 0 if last is None else int(last) + 1

    def _read_identity(self) -> str:
        (n_tables,) = self._database.execute(
            "SELECT count(*) FROM sqlite_schema WHERE name = 'meta'"
        ).fetchone()
        if not n_tables:
            return ""
        row = self._database.execute("SELECT value FROM meta WHERE name = 'identity'").fetchone()
        return "" if row is None else str(row[0])

    def source(self, offset: int) -> str:
        """Names the log up to `offset`; see `EventLog.source`.

        The last event is part of the name: a log that was restored from a copy and went on
        otherwise has the same identity.
        """
        if not self._identity:
            return ""
        with self._mutex, self._guarded("an event could not be read from"):
            row = self._database.execute(
                "SELECT payload FROM events WHERE log_offset = ?", (offset - 1,)
            ).fetchone()
        if row is None and offset > 0:
            return ""
        last = hashlib.sha256(b"" if row is None else row[0]).hexdigest()[:32]
        return f"sqlite:{self._identity}:{last}"

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
