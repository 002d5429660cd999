"""Remembers that a bundle was read byte by byte, so that the next start need not do it again.

Beside the files of a bundle lies a note with the id of the bundle and, for each file, its size,
its times of change and its place on the disk. Whoever writes to a file, copies it or puts
another one in its place changes one of these. Clocks of disks are coarse, so files that changed
a moment ago are not noted. What the note cannot see is a disk that forgets bits by itself;
`xfeed model verify` reads everything again.
"""

import contextlib
import json
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

NOTE: Final = ".checked.json"
"""Name of the note. It is no part of the bundle."""

CHECKS: Final = 2
"""Counts up with every check that is added, so that older notes are not believed any more."""

SETTLED_NS: Final = 2_000_000_000
"""Nanoseconds after which another change of a file surely has another time."""

Stats = dict[str, list[int]]


def file_stats(directory: Path, files: Iterable[str]) -> Stats:
    """What changes when a file is changed, by file; to be asked for before it is read."""
    found: Stats = {}
    for file in files:
        stat = (directory / file).stat()
        found[file] = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev]
    return found


def was_checked(directory: Path, bundle_id: str, stats: Stats) -> bool:
    """Whether these very files were read as a whole before."""
    try:
        note: Any = json.loads((directory / NOTE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return bool(note == _note(bundle_id, stats))


def note_checked(directory: Path, bundle_id: str, stats: Stats) -> None:
    """Notes that these files were read as a whole; where nothing can be written, nothing is."""
    newest = max((stat[2] for stat in stats.values()), default=0)
    if time.time_ns() - newest < SETTLED_NS:
        return
    text = json.dumps(_note(bundle_id, stats))
    with contextlib.suppress(OSError):
        temporary = directory / f"{NOTE}.{uuid.uuid4().hex}"
        temporary.write_text(text)
        temporary.replace(directory / NOTE)


def _note(bundle_id: str, stats: Stats) -> dict[str, Any]:
    return {"checks": CHECKS, "bundle_id": bundle_id, "files": stats}
