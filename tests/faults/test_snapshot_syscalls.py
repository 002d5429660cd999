"""Every system call of the snapshot writer is its last one once, and fails once.

`make test` takes every call but most of the many writes; `make stress` takes them all.
"""

import json
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xfeed import Feed, World, _core
from xfeed.replay import world_settings
from xfeed.snapshots import SnapshotStore

from tests.faults.strace import CALLS, Ran, Traced, need_strace
from tests.feed.worlds import NOW_MS, follow, post

PROGRAM = """
import json, threading, time
from pathlib import Path
from xfeed import Feed, StoreError

def beside(feed, temporary):
    # What another thread does while a snapshot is forced to the disk.
    thread = threading.Thread(target=feed.snapshot)
    thread.start()
    while not (temporary.exists() and temporary.read_bytes()[-45:-44] == b"Z"):
        time.sleep(0.001)
    at_ms = feed.now_ms() + 1
    feed.ingest([{"type": "post", "at_ms": at_ms, "post_id": 999, "author_id": 7}])
    first = feed.for_you(1, limit=1)[0].post_id
    print(json.dumps({"is_slow": thread.is_alive(), "first": first}), flush=True)
    thread.join()

def main(directory, attempts):
    feed = Feed.open(directory)
    if attempts == "beside":
        return beside(feed, Path(directory) / "snapshots" / "new.snapshot.tmp")
    said = {"loaded": feed.snapshot_state.offset}
    for attempt in attempts.split(","):
        try:
            said[attempt] = feed.snapshot().offsets["log"]
        except StoreError as error:
            said[attempt] = error.code
            said["problem"] = str(error)
        said["served"] = len(feed.for_you(1, limit=3))
        print(json.dumps({**said, "failed": feed.snapshot_state.n_failed}), flush=True)
"""

OLD, END = 14, 21
"""Where the newest snapshot stands before, and where the log ends."""

SHARES = pytest.mark.parametrize("one_write_in", [4, pytest.param(1, marks=pytest.mark.stress)])


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with two snapshots and a tail."""
    need_strace()
    directory = tmp_path_factory.mktemp("start") / "data"
    with Feed.open(directory) as feed:
        for turn in range(3):
            feed.ingest([follow(1, 7), *[post(turn * 100 + i, 7) for i in range(6)]])
            if turn < 2:
                assert feed.snapshot().offsets["log"] == (turn + 1) * 7
    return directory


class Scene:
    """A copy of the start, in which one call goes wrong."""

    def __init__(self, start: Path, scratch: Path, traced: Traced) -> None:
        self.start = start
        self.data = scratch / "data"
        self.traced = traced

    def run(self, inject: str = "", attempts: str = "first,second", calls: str = CALLS) -> Ran:
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.copytree(self.start, self.data)
        folder = self.data / "snapshots"
        names = [f"{number:012}.snapshot" for number in range(1, 6)]
        paths = [folder, folder / "new.snapshot.tmp", *[folder / name for name in names]]
        return self.traced.run(str(self.data), attempts, paths=paths, inject=inject, calls=calls)

    def check(self, where: str) -> int:
        """Nothing is lost or resurrected, and a start works; returns where the snapshot stands."""
        with Feed.open(self.data) as feed:
            offset = feed.snapshot_state.offset
            assert offset in {OLD, END}, where
            assert feed.snapshot_state.problem == "", where
            assert feed.log_offset == END, where
            assert feed.state_hash() == fold(feed), where
            left_over = [path.name for path in (self.data / "snapshots").glob("*.tmp")]
            assert left_over == [], where
            assert feed.snapshot().offsets["log"] == END, where
        for listed in SnapshotStore(self.data).list():
            assert SnapshotStore.verify(listed.path).source, where
        return offset


def fold(feed: Feed) -> str:
    """State hash of a fresh world that got the whole log."""
    world = World(**world_settings(feed.config))
    for payloads in feed._fold.log.read(0, 1_000):
        world.apply(_core.decode_events(payloads))
    assert world.last_ms <= NOW_MS
    return world.digest()


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    need_strace()
    traced = Traced(PROGRAM, tmp_path_factory.mktemp("traced"))
    yield traced
    traced.close()


@pytest.fixture
def scene(start: Path, tmp_path: Path, traced: Traced) -> Scene:
    return Scene(start, tmp_path, traced)


def broken(calls: list[str], one_write_in: int) -> Iterator[tuple[str, int]]:
    """The calls to break, each with how many of its name came up to it: all but some writes."""
    counts: Counter[str] = Counter()
    for name in calls:
        counts[name] += 1
        if name != "write" or counts[name] % one_write_in == 1 % one_write_in:
            yield name, counts[name]


@SHARES
@pytest.mark.timeout(600)
def test_a_kill_at_each_call_of_the_writer_leaves_a_good_snapshot(
    scene: Scene, one_write_in: int
) -> None:
    whole = scene.run("", "first")
    assert (whole.code, scene.check("no kill")) == (0, END)
    assert whole.calls.count("fsync") == 2
    assert "rename" in whole.calls
    assert "unlink" in whole.calls[whole.calls.index("rename") :]
    found = []
    for name, count in broken(whole.calls, one_write_in):
        where = f"killed at {name} {count}"
        ran = scene.run(f"{name}:signal=KILL:when={count}", "first")
        assert ran.code == -signal.SIGKILL, where
        found.append((name, scene.check(where)))
    # The name is given at one moment: before it the old one counts, after it the new one.
    after = [name for name, offset in found if offset == END]
    assert [offset for _, offset in found] == [OLD] * (len(found) - len(after)) + [END] * len(after)
    assert "fsync" in after
    assert "rename" not in after


@SHARES
@pytest.mark.timeout(600)
def test_an_error_of_each_call_is_told_and_the_next_attempt_works(
    scene: Scene, one_write_in: int
) -> None:
    calls = CALLS.removesuffix(",close")
    once = scene.run("", "first", calls=calls)
    n_failed = 0
    for name, count in broken(once.calls, one_write_in):
        where = f"EIO of {name} {count}"
        ran = scene.run(f"{name}:error=EIO:when={count}", calls=calls)
        assert ran.code == 0, where
        *_, said = [json.loads(line) for line in ran.out.splitlines()]
        assert said["loaded"] in {0, 7, OLD}, where
        assert said["served"] == 3, where
        assert said["first"] in {END, "snapshot_failed"}, where
        assert said["second"] == END, where
        assert said["failed"] == (said["first"] == "snapshot_failed"), where
        n_failed += said["failed"]
        scene.check(where)
    assert n_failed > 5


def said_of(ran: Ran) -> list[dict[str, Any]]:
    assert ran.code == 0
    return [json.loads(line) for line in ran.out.splitlines()]


@pytest.mark.parametrize(
    ("inject", "words"),
    [
        ("write:error=ENOSPC:when=1+", "No space left on device"),
        ("write:error=ENOSPC:when=9+", "No space left on device"),
        ("fsync:error=EIO:when=1+", "Input/output error"),
        ("rename:error=EROFS:when=1+", "Read-only file system"),
        ("openat:error=EMFILE:when=4+", "Too many open files"),
    ],
)
def test_a_disk_that_stays_broken_harms_no_page_and_no_older_snapshot(
    scene: Scene, inject: str, words: str
) -> None:
    *_, said = said_of(scene.run(inject))
    assert (said["first"], said["second"]) == ("snapshot_failed", "snapshot_failed")
    assert words in said["problem"]
    assert (said["served"], said["failed"]) == (3, 2)
    assert scene.check(inject) == OLD


@pytest.mark.parametrize(("write", "said"), [(1, 8), (9, 45), (5, 3)])
def test_a_write_that_never_reached_the_disk_is_found_before_it_counts(
    scene: Scene, write: int, said: int
) -> None:
    # The call says that so many bytes were written, and none was.
    first, second = said_of(scene.run(f"write:retval={said}:when={write}"))
    assert first["first"] == "snapshot_failed"
    assert second["second"] == END
    assert scene.check(f"phantom write {write}") == END


def test_while_an_fsync_takes_long_events_are_folded_and_pages_are_made(scene: Scene) -> None:
    ran = scene.run("fsync:delay_enter=3000000:when=1", "beside")
    assert said_of(ran) == [{"is_slow": True, "first": "999"}]
    with Feed.open(scene.data) as feed:
        assert feed.snapshot_state.offset == END
        assert feed.log_offset == END + 1
        assert feed.state_hash() == fold(feed)
