"""What `snapshot_v1.snapshot` holds. `python -m tests.golden.snapshot_v1` writes it.

Only a new format version gets a new file; this one must be readable, or be refused by its version,
for as long as anybody may have such files.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from xfeed import World, _core
from xfeed.snapshots import SnapshotInfo, SnapshotStore

from tests.feed.worlds import event, follow, post

GOLDEN = Path(__file__).with_suffix(".snapshot")
SETTINGS: dict[str, Any] = {
    "retention_ms": 172_800_000,
    "max_history_len": 1_024,
    "max_posts_per_timeline": 5_000,
}
OFFSETS = {"posts/0": 2**64 - 1, "log": 12}

EVENTS = [
    *[follow("ann", author) for author in (7, 8)],
    post(1, 7, text="first", topics=["a"]),
    post("at://b/2", 8, reply_to_id=1, root_id=1),
    post(3, 7, repost_of_id=1, repost_of_author_id=7),
    event("delete", 0.5, post_id=3),
    event("block", user_id="ann", target_id=9),
    event("mute", user_id="ann", target_id=10),
    event("label", post_id=1, label="spam", expires_at_ms=None),
    event("mute_word", user_id="ann", word="Spoiler"),
    event("profile", user_id=7, handle="bob", protected=True),
    event("impression", viewer_id="ann", post_id=1),
]


def world(*events: dict[str, Any]) -> World:
    """A world that got `events`."""
    made = World(**SETTINGS)
    made.apply(_core.decode_events([msgspec.json.encode(event) for event in events]))
    return made


def write(directory: Path) -> SnapshotInfo:
    """Writes the very same snapshot."""
    return SnapshotStore(directory).create(world(*EVENTS), OFFSETS, "golden")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copyfile(write(Path(scratch)).path, GOLDEN)
