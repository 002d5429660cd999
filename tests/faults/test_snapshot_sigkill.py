"""A writer that makes a snapshot every few events is killed at random, again and again.

A dozen kills in `make test`, two hundred in `make stress`. After each one a start from the newest
snapshot must give what a fresh fold of the whole log gives: nothing lost, nothing resurrected.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from xfeed import Feed, World, _core
from xfeed.data import CommunityConfig, community
from xfeed.replay import world_settings
from xfeed.snapshots import SnapshotStore

SEED = 20_261_122
BATCH_LEN, EVERY = 50, 150

WRITERS = f"""
import os, sys
from xfeed import Feed

CONFIG = {{"ingest_batch_len": {BATCH_LEN}, "snapshot": {{"every_events": {EVERY}}}}}

def say(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())

for job in sys.stdin:
    directory, path, start = job.split()
    pid = os.fork()
    if pid == 0:
        with Feed.open(directory, config=CONFIG) as feed:
            lines = open(path, "rb").readlines()[int(start):]
            feed.ingest(lines, on_ack=lambda report: say("ack", report.end_offset))
        os._exit(0)
    say("pid", pid)
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    say("over", ended.si_status if ended.si_code == os.CLD_KILLED else 0)
    sys.stdin.readline()
    os.waitpid(pid, 0)
"""


class Writers:
    """Starts writers and kills them some moments after their first batch."""

    def __init__(self) -> None:
        self._draw = random.Random(SEED)  # noqa: S311 - must repeat, need not be secret
        self._process = subprocess.Popen(
            [sys.executable, "-c", WRITERS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def kill_one(self, directory: Path, events: Path, start: int) -> tuple[int, bool]:
        """Returns the last acknowledged offset and whether the writer was killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(directory, events, start, file=self._process.stdin, flush=True)
        pid, acknowledged, is_sent = 0, 0, False
        wanted = self._draw.randint(0, 9)
        for line in self._process.stdout:
            word, number = line.split()
            if word == "pid":
                pid = int(number)
            elif word == "ack":
                acknowledged = int(number)
                wanted -= 1
            else:
                print(file=self._process.stdin, flush=True)
                return acknowledged, int(number) == signal.SIGKILL
            if pid and wanted < 0 and not is_sent:
                # A batch takes about as long; a snapshot is somewhere in it.
                time.sleep(self._draw.uniform(0.0, 0.03))
                os.kill(pid, signal.SIGKILL)
                is_sent = True
        raise AssertionError("the writers' parent ended")

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture
def writers() -> Iterator[Writers]:
    writers = Writers()
    yield writers
    writers.close()


def fold(lines: list[bytes], feed: Feed) -> World:
    world = World(**world_settings(feed.config))
    world.apply(_core.decode_events(lines))
    return world


@pytest.mark.parametrize("n_kills", [12, pytest.param(200, marks=pytest.mark.stress)])
@pytest.mark.timeout(900)
def test_kills_between_and_in_snapshots_lose_and_resurrect_nothing(
    tmp_path: Path,
    writers: Writers,
    n_kills: int,
) -> None:
    settings = CommunityConfig(n_people=300, n_posts=4_000, n_impressions=60_000)
    lines = [line.rstrip() for line in community(settings).events()][: max(n_kills * 600, 40_000)]
    events, data = tmp_path / "events.jsonl", tmp_path / "data"
    events.write_bytes(b"\n".join(lines) + b"\n")
    offset = n_killed = n_from_snapshot = n_lagging = 0
    for kill in range(n_kills):
        acknowledged, was_killed = writers.kill_one(data, events, offset)
        n_killed += was_killed
        with Feed.open(data, mode="read") as feed:
            where = f"kill {kill} of seed {SEED} at offset {feed.log_offset}"
            offset = feed.log_offset
            assert offset >= acknowledged, where
            assert feed.snapshot_state.problem == "", where
            n_from_snapshot += feed.snapshot_state.offset > 0
            n_lagging += feed.snapshot_state.offset < offset
            whole = fold(lines[:offset], feed)
            assert feed.state_hash() == whole.digest(), where
            assert feed.counts() == whole.counts(), where
        if n_kills > 100 and kill % 10:
            continue
        for listed in SnapshotStore(data, writable=False).list():
            assert listed.problem == "", where
            SnapshotStore.verify(listed.path)
    # On a busy machine a writer may be done before it is killed.
    assert n_killed > n_kills // 2
    assert n_from_snapshot > n_kills // 2
    assert n_lagging > n_kills // 4


NO_MEMORY = """
import resource, sys
from xfeed import Feed

feed = Feed.open(sys.argv[1])
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]), resource.RLIM_INFINITY))
feed.snapshot()
"""


def test_memory_that_runs_out_while_a_snapshot_is_made_harms_no_file(
    tmp_path: Path, small_events: list[bytes]
) -> None:
    with Feed.open(tmp_path / "data") as feed:
        feed.ingest(small_events[:9_000])
        feed.snapshot()
        feed.ingest(small_events[9_000:])
        expected = feed.state_hash()
    codes = []
    for mebibytes in (0, 2, 8, 200):
        command = [sys.executable, "-c", NO_MEMORY, str(tmp_path / "data"), str(mebibytes << 20)]
        codes.append(subprocess.run(command, capture_output=True, check=False).returncode)
        with Feed.open(tmp_path / "data") as feed:
            assert feed.snapshot_state.offset in {9_000, len(small_events)}
            assert feed.snapshot_state.problem == ""
            assert feed.state_hash() == expected
    assert codes[0] != 0
    assert codes[-1] == 0
