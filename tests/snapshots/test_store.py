"""The files: written whole or not at all, refused when damaged, the one before is kept."""

import os
import shutil
import struct
import threading
from pathlib import Path

import pytest
from xfeed import Feed, StoreError, World, _core
from xfeed.replay import world_settings
from xfeed.snapshots import SnapshotInfo, SnapshotStore

from tests.feed.worlds import event, post
from tests.golden.snapshot_v1 import EVENTS, GOLDEN, OFFSETS, SETTINGS, world, write


def make(directory: Path, n_events: int) -> SnapshotInfo:
    return SnapshotStore(directory).create(world(*EVENTS[:n_events]), {"log": n_events}, "test")


def offset_of_newest(store: SnapshotStore) -> int | None:
    loaded = store.newest(SETTINGS)
    return None if loaded is None else loaded.info.offsets["log"]


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    numbers = [make(tmp_path, n).number for n in (1, 2, 3, 4)]
    assert numbers == [1, 2, 3, 4]
    kept = [listed.info.offsets["log"] for listed in SnapshotStore(tmp_path).list() if listed.info]
    assert kept == [4, 3]


def test_the_last_good_one_is_kept_rather_than_a_damaged_newer_one(tmp_path: Path) -> None:
    make(tmp_path, 1)
    bad = Path(make(tmp_path, 2).path)
    bad.write_bytes(bad.read_bytes()[:-1])
    store = SnapshotStore(tmp_path)
    assert offset_of_newest(store) == 1
    store.create(world(*EVENTS[:3]), {"log": 3}, "test")
    assert [listed.info.offsets["log"] for listed in store.list() if listed.info] == [3, 1]


# `make test` tries every byte on the engine itself, without files, and every seventh here.
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.stress)])
def test_every_changed_byte_and_every_cut_falls_back_to_the_one_before(
    tmp_path: Path, step: int
) -> None:
    older, newer = make(tmp_path, 3), make(tmp_path, len(EVENTS))
    whole = Path(newer.path).read_bytes()
    expected = World.load(older.path, **SETTINGS).digest()
    for name, damaged in [
        *[
            (f"bit {i}", whole[:i] + bytes([whole[i] ^ 1 << i % 8]) + whole[i + 1 :])
            for i in range(0, len(whole), step)
        ],
        *[(f"cut {i}", whole[:i]) for i in range(0, len(whole), step)],
        ("longer", whole + b"\0"),
    ]:
        Path(newer.path).write_bytes(damaged)
        store = SnapshotStore(tmp_path)
        loaded = store.newest(SETTINGS)
        assert loaded is not None, name
        assert loaded.info == older, name
        assert loaded.world.digest() == expected, name
        (problem,) = store.problems
        assert newer.path in problem, name
    Path(newer.path).write_bytes(whole)
    assert offset_of_newest(SnapshotStore(tmp_path)) == len(EVENTS)


def test_a_problem_names_file_byte_and_section(tmp_path: Path) -> None:
    path = Path(make(tmp_path, len(EVENTS)).path)
    content = bytearray(path.read_bytes())
    at = content.index(b"graph") + 80
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        SnapshotStore.verify(path)
    assert caught.value.code == "bad_snapshot"
    assert f"`{path}`: section `graph` at byte" in str(caught.value)
    assert int(str(caught.value).split("at byte ")[1].split(":")[0]) <= at


def test_what_lies_in_the_place_of_a_snapshot_is_not_opened(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    good = make(tmp_path, 3)
    folder = Path(good.path).parent
    os.mkfifo(folder / "000000000002.snapshot")
    (folder / "000000000003.snapshot").mkdir()
    (folder / "000000000004.snapshot").symlink_to(good.path)
    (folder / "notes.txt").write_text("mine")
    assert offset_of_newest(store) == 3
    assert len(store.problems) == 3
    assert all("is no regular file" in problem for problem in store.problems)
    assert [bool(listed.problem) for listed in store.list()] == [True, True, True, False]
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_a_stray_temporary_file_never_stands_in_the_way(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "snapshots"
    folder.mkdir()
    stray, victim = folder / "new.snapshot.tmp", tmp_path / "victim"
    victim.write_text("keep me")
    if what == "folder":
        stray.mkdir()
        with pytest.raises(StoreError, match="no snapshot was made"):
            make(tmp_path, 2)
        return
    stray.write_text("half") if what == "file" else stray.symlink_to(victim)
    assert make(tmp_path, 2).number == 1
    assert not stray.exists()
    assert victim.read_text() == "keep me"


def test_a_folder_that_cannot_be_written_is_an_error_and_the_old_one_stays(tmp_path: Path) -> None:
    make(tmp_path, 2)
    moved = tmp_path / "moved"
    (tmp_path / "snapshots").rename(moved)
    (tmp_path / "snapshots").write_text("a file in its place")
    with pytest.raises(StoreError) as caught:
        make(tmp_path, 3)
    assert caught.value.code == "snapshot_failed"
    (tmp_path / "snapshots").unlink()
    shutil.move(moved, tmp_path / "snapshots")
    assert offset_of_newest(SnapshotStore(tmp_path)) == 2


def test_another_format_is_named_and_left_alone(tmp_path: Path) -> None:
    path = Path(make(tmp_path, 2).path)
    content = bytearray(path.read_bytes())
    content[8:12] = struct.pack("<I", 2)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="format 2, this xfeed reads format 1") as caught:
        SnapshotStore.verify(path)
    assert caught.value.code == "bad_snapshot_format"
    assert path.read_bytes() == content


def test_the_golden_file_of_format_1_is_read_as_ever() -> None:
    info = SnapshotStore.verify(GOLDEN)
    assert (info.source, info.offsets) == ("golden", OFFSETS)
    loaded = World.load(GOLDEN, **SETTINGS)
    assert loaded.digest() == world(*EVENTS).digest() == info.state_hash
    assert loaded.counts() == world(*EVENTS).counts()
    assert loaded.spell(_core.id_of_text("at://b/2")) == "at://b/2"


def test_the_golden_file_is_written_as_ever(tmp_path: Path) -> None:
    assert Path(write(tmp_path).path).read_bytes() == GOLDEN.read_bytes()


def test_accept_decides_and_gives_its_reason(tmp_path: Path) -> None:
    make(tmp_path, 2)
    make(tmp_path, 3)
    store = SnapshotStore(tmp_path)
    loaded = store.newest(SETTINGS, lambda info: "too new" if info.offsets["log"] > 2 else "")
    assert loaded is not None
    assert loaded.info.offsets == {"log": 2}
    assert store.problems[0].endswith("is not used: too new")
    assert store.newest(SETTINGS, lambda _: "never") is None
    assert len(store.problems) == 2


def test_captured_is_called_once_whatever_happens(tmp_path: Path) -> None:
    calls: list[int] = []
    SnapshotStore(tmp_path).create(world(), {}, "test", captured=lambda: calls.append(1))
    assert len(calls) == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        SnapshotStore(tmp_path / "file").create(
            world(), {}, "test", captured=lambda: calls.append(1)
        )
    assert len(calls) == 2


def test_pages_and_events_go_on_while_snapshots_are_made(
    tmp_path: Path, small_events: list[bytes]
) -> None:
    with Feed.open(tmp_path / "data") as feed:
        feed.ingest(small_events[:9_000])
        is_done = threading.Event()
        n_made = 0

        def snapshots() -> None:
            nonlocal n_made
            while not is_done.is_set():
                feed.snapshot()
                n_made += 1

        thread = threading.Thread(target=snapshots)
        thread.start()
        try:
            for start in range(9_000, len(small_events), 500):
                feed.ingest(small_events[start : start + 500])
                assert feed.for_you(1).items
        finally:
            is_done.set()
            thread.join()
        assert n_made > 1
        expected = feed.state_hash()
    for listed in SnapshotStore(tmp_path / "data").list():
        info = SnapshotStore.verify(listed.path)
        settings = world_settings(feed.config)
        fresh = World(**settings)
        fresh.apply(_core.decode_events(small_events[: info.offsets["log"]]))
        assert World.load(listed.path, **settings).digest() == fresh.digest()
    with Feed.open(tmp_path / "data") as feed:
        assert feed.snapshot_state.offset > 9_000
        assert feed.state_hash() == expected


def test_a_header_that_would_be_too_large_is_refused_by_name(tmp_path: Path) -> None:
    offsets = {f"a topic with a long name/{i}": i for i in range(40_000)}
    with pytest.raises(StoreError, match="the header of the snapshot has"):
        SnapshotStore(tmp_path).create(world(), offsets, "test")


def test_an_event_that_needs_64_kib_and_a_long_muted_word_fit(tmp_path: Path) -> None:
    word = "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 60
    big = world(post(1, 7, text="ä" * 20_000), event("mute_word", user_id=1, word=word))
    info = SnapshotStore(tmp_path).create(big, {"log": 2}, "test")
    assert World.load(info.path, **SETTINGS).digest() == big.digest()
    assert info.counts["muted_words"] == 1
