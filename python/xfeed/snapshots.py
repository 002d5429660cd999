"""Snapshots: the state in a file, with the place in the log that it belongs to.

A start folds the whole log; with a snapshot it loads a file and folds only what came after it. The
log stays the truth: a snapshot that is damaged, of another log or made with other settings is left
alone with the reason, and the one before it is tried. The price is a second copy of the state on
the disk and, while a new one is checked, in memory.

A snapshot counts only when it is safe: it is written beside the others, forced to the disk, loaded
again and compared with the state, and only then gets its name; after that the name is forced to the
disk, and only then the oldest one goes. The newest two are kept.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from xfeed import _core
from xfeed.errors import StoreError, XfeedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

DIRECTORY = "snapshots"
"""Where the snapshots of a data directory lie."""

SUFFIX = ".snapshot"
TEMPORARY = "new.snapshot.tmp"
"""What is being written; left over only by a process that was killed."""


class SnapshotInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot says about itself.

    Attributes:
        path: the file.
        number: counts up; the newest has the largest.
        n_bytes: size of the file.
        source: names the log that `offsets` belong to.
        offsets: by part of the log (a partition, or the log as a whole), the offset after the last
            event that the state holds.
        state_hash: hash of the state in it.
        counts: how much there is of everything.
        settings: the settings that decide what the state holds.
        last_ms: time of the latest event, unix milliseconds.
    """

    path: str
    number: int
    n_bytes: int
    source: str
    offsets: dict[str, int]
    state_hash: str
    counts: dict[str, int]
    settings: dict[str, int]
    last_ms: int


class Loaded(NamedTuple):
    """A state that was loaded.

    Attributes:
        world: the state, yours to go on folding into.
        info: where it stands.
    """

    world: _core.World
    info: SnapshotInfo


class Listed(NamedTuple):
    """One file of `SnapshotStore.list`.

    Attributes:
        path: the file.
        info: what it says about itself; None when it cannot be read.
        problem: why it cannot be read; empty when it can.
    """

    path: Path
    info: SnapshotInfo | None
    problem: str


class SnapshotStore:
    """The snapshots of one data directory. Safe to use from several threads.

    At most one process may call `create` on a directory; the caller's lock sees to it. Any number
    may read beside it.

    Args:
        directory: the data directory; they lie below it, see `DIRECTORY`.
        writable: whether this process may remove what a killed one has left over.
    """

    def __init__(self, directory: Path, *, writable: bool = True) -> None:
        self._directory = directory / DIRECTORY
        self._writable = writable
        self._lock = threading.Lock()
        self._good: Path | None = None
        self.problems: tuple[str, ...] = ()
        """Why the last `newest` passed over snapshots, newest first."""

    def create(
        self,
        world: _core.World,
        offsets: Mapping[str, int],
        source: str,
        *,
        captured: Callable[[], None] | None = None,
    ) -> SnapshotInfo:
        """Writes a snapshot, checks it by loading it, and makes it the newest.

        Reads of `world` go on meanwhile; events wait until the state is captured. Nothing may be
        folded into `world` between the moment `offsets` were read and `captured`.

        Args:
            world: the state.
            offsets: where it stands, 0 to 2**64 - 1 each.
            source: names the log of these offsets.
            captured: called once as soon as the state is captured (or could not be), before the
                slow part: folding may go on from here.

        Raises:
            StoreError: when it cannot be written or does not check out. The snapshots that were
                there are untouched.
        """
        with self._lock:
            try:
                return self._create(world, offsets, source, captured)
            except (OSError, StoreError) as error:
                with contextlib.suppress(OSError):
                    (self._directory / TEMPORARY).unlink(missing_ok=True)
                raise StoreError(
                    f"no snapshot was made: {_message(error)}",
                    code="snapshot_failed",
                    hint="free disk space or mend the disk; the log holds everything, and the "
                    "snapshots that were there stay",
                ) from error

    def _create(
        self,
        world: _core.World,
        offsets: Mapping[str, int],
        source: str,
        captured: Callable[[], None] | None,
    ) -> SnapshotInfo:
        temporary = self._directory / TEMPORARY
        try:
            _make_directory(self._directory)
            temporary.unlink(missing_ok=True)
            file = world.capture(temporary, source, offsets)
        finally:
            if captured is not None:
                captured()
        file.sync()
        if _core.verify_snapshot(temporary) != file.header():
            raise StoreError(f"`{temporary}` reads otherwise than it was written")
        numbers = [number for number, _ in self._found()]
        number = max(numbers, default=0) + 1
        path = self._directory / f"{number:012}{SUFFIX}"
        temporary.rename(path)
        _sync_directory(self._directory)
        previous, self._good = self._good, path
        # It counts from here on; what cannot be removed now goes the next time.
        with contextlib.suppress(OSError):
            self._remove_old(path, previous)
        return _info(path, number, file.header())

    def _remove_old(self, newest: Path, previous: Path | None) -> None:
        """Keeps `newest` and the one that was the good one before it."""
        older = [path for _, path in self._found() if path != newest]
        before = previous if previous in older else next(iter(older), None)
        for path in older:
            if path != before:
                # A file that cannot go is no reason to call a good snapshot a failed one.
                with contextlib.suppress(OSError):
                    path.unlink()

    def newest(
        self,
        settings: Mapping[str, Any],
        accept: Callable[[SnapshotInfo], str] | None = None,
    ) -> Loaded | None:
        """Loads the newest snapshot that is whole and fits; None when there is none.

        `problems` then says why newer ones were passed over.

        Args:
            settings: the arguments of `World` (see `xfeed.replay.world_settings`). One made with
                other settings is passed over.
            accept: why a snapshot cannot be used, or an empty text when it can.
        """
        with self._lock:
            if self._writable:
                with contextlib.suppress(OSError):
                    (self._directory / TEMPORARY).unlink(missing_ok=True)
            problems = []
            loaded = None
            try:
                found = self._found()
            except OSError as error:
                found, problems = [], [str(error)]
            for number, path in found:
                try:
                    info = _read_info(path, number)
                    refused = accept(info) if accept is not None else ""
                    if not refused:
                        loaded = Loaded(_core.World.load(path, **settings), info)
                        self._good = path
                        break
                    problems.append(f"`{path}` is not used: {refused}")
                except (OSError, XfeedError) as error:
                    problems.append(_message(error))
            self.problems = tuple(problems)
            return loaded

    def list(self) -> Sequence[Listed]:
        """Every snapshot, newest first.

        Raises:
            StoreError: when the directory cannot be read.
        """
        listed = []
        try:
            found = self._found()
        except OSError as error:
            raise StoreError(
                f"the snapshots cannot be listed: {error}",
                code="io_failed",
                hint="name a data directory that you may read",
            ) from error
        for number, path in found:
            try:
                listed.append(Listed(path, _read_info(path, number), ""))
            except (OSError, XfeedError) as error:
                listed.append(Listed(path, None, _message(error)))
        return listed

    def _found(self) -> Sequence[tuple[int, Path]]:
        """Every file with the name of a snapshot, newest first."""
        try:
            paths = list(self._directory.iterdir())
        except FileNotFoundError:
            return []
        named = [path for path in paths if path.suffix == SUFFIX and path.stem.isdecimal()]
        return sorted(((int(path.stem), path) for path in named), reverse=True)

    @staticmethod
    def verify(path: Path | str) -> SnapshotInfo:
        """Loads a snapshot and compares the state with its hash.

        Raises:
            StoreError: naming the file, the byte and the section where it is damaged.
        """
        path = Path(path)
        _check_file(path)
        number = int(path.stem) if path.stem.isdecimal() else 0
        return _info(path, number, _core.verify_snapshot(path))


def _info(path: Path, number: int, header: str) -> SnapshotInfo:
    said = msgspec.json.decode(header)
    said.pop("kind")
    return SnapshotInfo(path=str(path), number=number, n_bytes=path.stat().st_size, **said)


def _read_info(path: Path, number: int) -> SnapshotInfo:
    _check_file(path)
    return _info(path, number, _core.snapshot_header(path))


def _check_file(path: Path) -> None:
    # A pipe in its place would be waited for, for ever.
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        raise StoreError(
            f"`{path}` cannot be read: {error}",
            code="io_failed",
            hint="`xfeed snapshot list` shows what there is",
        ) from error
    if not stat.S_ISREG(mode):
        raise StoreError(
            f"`{path}` is no regular file",
            code="bad_snapshot",
            hint="remove it; `xfeed snapshot create` makes a new one",
        )


def _make_directory(directory: Path) -> None:
    if not directory.exists():
        directory.mkdir(parents=True)
        _sync_directory(directory.parent)


def _sync_directory(directory: Path) -> None:
    """Forces the names in `directory` to the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _message(error: BaseException) -> str:
    """What an error says, without the hint."""
    return str(error.args[0] if isinstance(error, XfeedError) and error.args else error)
