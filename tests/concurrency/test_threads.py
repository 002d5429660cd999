"""Readers and a writer in one process."""

import math
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from xfeed import Feed, FeedResult

from tests.feed.worlds import NOW_MS, event, follow, post

N_READERS = 6
SECONDS = 2.0


def checked(page: FeedResult) -> FeedResult:
    """The page, when it is whole."""
    assert page.degraded == []
    assert len({item.post_id for item in page}) == len(page)
    scores = [item.score for item in page]
    assert all(math.isfinite(score) for score in scores)
    assert scores == sorted(scores, reverse=True)
    for item in page:
        assert item.author_id != page.viewer_id
        assert item.text.startswith(f"post {item.shown_post_id} ")
    return page


def run_together(jobs: list[Callable[[], None]]) -> None:
    """Runs every job in a thread of its own and raises what any of them raised."""
    errors: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - handed to the main thread
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]


def step(i: int) -> list[dict[str, object]]:
    """Some posts, an edit, a delete, an impression and a change of mind."""
    made = [post(100 * i + j, f"author {j}", 0, text=f"post {100 * i + j} new") for j in range(20)]
    return [
        *made,
        event("edit", 0, post_id=100 * i, text=f"post {100 * i} edited"),
        event("delete", 0, post_id=100 * i + 1),
        event("impression", 0, viewer_id=f"viewer {i % N_READERS}", post_id=100 * i + 2),
        event(("mute", "unmute")[i % 2], -i / 1e6, user_id="viewer 0", target_id="author 3"),
    ]


@pytest.mark.timeout(90)
def test_six_readers_beside_a_writer_get_whole_pages(tmp_path: Path) -> None:
    people = [follow(f"viewer {i}", f"author {j}") for i in range(N_READERS) for j in range(10)]
    end = time.monotonic() + SECONDS
    pages = [0] * N_READERS
    written = 0
    with Feed.open(tmp_path / "data") as feed:
        feed.ingest([*people, *step(0)])

        def write() -> None:
            nonlocal written
            while time.monotonic() < end:
                written += 1
                assert feed.ingest(step(written)).n_rejected == 0

        def read(reader: int) -> None:
            viewer = f"viewer {reader}"
            while time.monotonic() < end or not pages[reader]:
                page = checked(feed.for_you(viewer, now_ms=NOW_MS))
                assert len(page) > 0
                for item in page:
                    place = page.where(item.post_id)
                    assert place.detail.startswith(f"place {item.position} of ")
                pages[reader] += 1

        readers = [partial(read, reader) for reader in range(N_READERS)]
        run_together([write, *readers])
        assert written > 3
        assert min(pages) > 3
        assert feed.log_offset == len(people) + (written + 1) * len(step(0))
        state = feed.state_hash()
        last = {i: feed.for_you(f"viewer {i}").to_json() for i in range(N_READERS)}
    # What many threads saw being made is what the log says.
    with Feed.open(tmp_path / "data") as again:
        assert again.state_hash() == state
        assert {i: again.for_you(f"viewer {i}").to_json() for i in range(N_READERS)} == last


def test_several_writing_threads_take_turns(tmp_path: Path) -> None:
    with Feed.open(tmp_path / "data") as feed:

        def write(writer: int) -> None:
            for i in range(30):
                number = writer * 1_000 + i
                feed.ingest([{**post(number, writer), "event_id": f"{i}/{writer % 2}"}])

        run_together([partial(write, writer) for writer in range(4)])
        # Two writers each used the same event ids.
        assert feed.log_offset == feed.counts()["events"] == feed.counts()["posts"] == 60


def test_concurrent_pages_with_a_model_are_the_pages_of_one_thread(fitted_feed: Feed) -> None:
    viewers = range(1, 7)
    alone = {viewer: fitted_feed.for_you(viewer).to_json() for viewer in viewers}
    together: dict[int, list[bytes]] = {viewer: [] for viewer in viewers}

    def read(viewer: int) -> None:
        for _ in range(3):
            together[viewer].append(fitted_feed.for_you(viewer).to_json())

    run_together([partial(read, viewer) for viewer in viewers])
    assert together == {viewer: [page] * 3 for viewer, page in alone.items()}
