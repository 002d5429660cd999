"""A writer is killed again and again on one data directory; no acknowledged event may be lost."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from xfeed import Feed, World, _core
from xfeed.data import CommunityConfig, community

N_KILLS = 20
BATCH_LEN = 100
SEED = 20_260_901

WRITERS = f"""
import os, sys
from xfeed import Feed

def say(*words):
    # One write per line: a writer that is killed in a line leaves no half of it.
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())

def write(directory, path):
    with Feed.open(directory, config={{"ingest_batch_len": {BATCH_LEN}}}) as feed:
        say("open", feed.log_offset)
        feed.ingest_files(
            [path], on_ack=lambda report: say("ack", report.end_offset)
        )
    say("done")

for job in sys.stdin:
    pid = os.fork()
    if pid == 0:
        write(*job.split())
        os._exit(0)
    say("pid", pid)
    # The id stays taken until the other side is done with it and closes this line.
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    say("over", -ended.si_status if ended.si_code == os.CLD_KILLED else 0)
    sys.stdin.readline()
    os.waitpid(pid, 0)
"""
"""Imports xfeed once, then forks one writer per job of its input; importing takes the longest."""


class Killed(NamedTuple):
    """What a killed writer had said.

    Attributes:
        acknowledged: end offset of the last batch that it acknowledged.
        status: minus the signal that ended it, or 0.
    """

    acknowledged: int
    status: int


class Writers:
    """Starts writers and kills them: mostly some batches into new events, else at any time."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)  # noqa: S311 - must repeat, need not be secret
        self._process = subprocess.Popen(
            [sys.executable, "-c", WRITERS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _words(self) -> list[str]:
        assert self._process.stdout is not None
        words = self._process.stdout.readline().split()
        assert words, "the writers' parent ended"
        return words

    def kill_one(self, directory: Path, events: Path) -> Killed:
        assert self._process.stdin is not None
        print(directory, events, file=self._process.stdin, flush=True)
        # The writer may speak before its parent names it.
        early = []
        while (words := self._words())[0] != "pid":
            early.append(words)
        pid = int(words[1])
        wanted = self._draw.randint(1, 6)
        start = end = -1
        at_any_time = self._draw.random() < 0.2
        if at_any_time:
            time.sleep(self._draw.uniform(0.0, 0.2))
            os.kill(pid, signal.SIGKILL)
        while True:
            word, *numbers = early.pop(0) if early else self._words()
            if word == "over":
                print(file=self._process.stdin, flush=True)
                return Killed(end, int(numbers[0]))
            if word == "done":
                continue
            end = int(numbers[0])
            start = end if word == "open" else start
            if word == "ack" and not at_any_time and end == start + wanted * BATCH_LEN:
                time.sleep(self._draw.uniform(0.0, 0.004))
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    writers = Writers(SEED)
    yield writers
    writers.close()


def logged(directory: Path) -> list[bytes]:
    """The events of the log, read with nothing of ours."""
    with sqlite3.connect(directory / "events.sqlite") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        query = "SELECT log_offset, payload FROM events ORDER BY log_offset"
        rows: list[tuple[int, bytes]] = database.execute(query).fetchall()
    database.close()
    assert [offset for offset, _ in rows] == list(range(len(rows)))
    return [payload for _, payload in rows]


def fold(payloads: list[bytes], feed: Feed) -> str:
    """State hash of a fresh world that got exactly `payloads`."""
    world = World(
        retention_ms=feed.config.thunder.retention_secs * 1_000,
        max_history_len=feed.config.world.max_history_len,
    )
    world.apply(_core.decode_events(payloads))
    return world.digest()


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    settings = CommunityConfig(n_people=200, n_posts=1_500, n_impressions=13_000)
    events = list(community(settings).events())
    return [line[:-1] + f',"event_id":"event/{i}"}}'.encode() for i, line in enumerate(events)]


def test_twenty_kills_lose_and_double_nothing(
    tmp_path: Path, lines: list[bytes], writers: Writers
) -> None:
    assert len(lines) > 35_000
    events, directory = tmp_path / "events.jsonl", tmp_path / "data"
    events.write_bytes(b"\n".join(lines) + b"\n")
    in_the_middle = 0
    acknowledged = 0
    for kill in range(N_KILLS):
        killed = writers.kill_one(directory, events)
        acknowledged = max(acknowledged, killed.acknowledged)
        with Feed.open(directory) as feed:
            where = f"kill {kill} of seed {SEED} at offset {feed.log_offset}"
            assert feed.log_offset >= acknowledged, where
            assert feed.log_offset == len(lines) or feed.log_offset % BATCH_LEN == 0, where
            in_the_middle += bool(
                killed.status == -signal.SIGKILL and 0 < feed.log_offset < len(lines)
            )
            kept = logged(directory)
            assert kept == lines[: feed.log_offset], where
            assert feed.state_hash() == fold(kept, feed), where
    assert in_the_middle >= N_KILLS // 2

    with Feed.open(directory) as feed, Feed.open(tmp_path / "whole") as whole:
        report = feed.ingest_files([events])
        assert (report.read, report.n_rejected) == (len(lines), 0)
        assert report.accepted + report.duplicates == len(lines) == feed.log_offset
        assert whole.ingest_files([events]).accepted == len(lines)
        assert feed.state_hash() == whole.state_hash()
        assert feed.counts() == whole.counts()
    assert logged(directory) == lines


def test_an_event_that_was_not_acknowledged_is_there_wholly_or_not_at_all(
    tmp_path: Path, lines: list[bytes], writers: Writers
) -> None:
    events, directory = tmp_path / "events.jsonl", tmp_path / "data"
    events.write_bytes(b"\n".join(lines[:3_000]) + b"\n")
    writers.kill_one(directory, events)
    offset = len(logged(directory))
    assert offset % BATCH_LEN == 0
    # A reader beside nobody sees the same as the next writer.
    with Feed.open(directory, mode="read") as reader:
        assert reader.log_offset == offset
        seen = reader.state_hash()
    with Feed.open(directory) as writer:
        assert writer.state_hash() == seen
