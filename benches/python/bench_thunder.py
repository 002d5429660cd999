"""The in-network read: the newest posts of the accounts a viewer follows."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
from xfeed import _core

from benches.python.timing import Row, Side, micros
from benches.python.workload import DAY_MS, NOW_MS, Ids, Posts, followings, posts

SEED: Final = 20_260_821
N_AUTHORS: Final = 20_000
N_POSTS: Final = 200_000
N_VIEWERS: Final = 20
FOLLOWED: Final = (100, 1_000)

OLDEST_MS: Final = NOW_MS - 2 * DAY_MS
MAX_RESULTS: Final = 1_200
MAX_ORIGINALS: Final = 50
MAX_SECONDARY: Final = 30
ASKER: Final = 10**9

Read = Callable[[Ids], Ids]
Viewer = TypeVar("Viewer")


def world_of(made: Posts) -> _core.World:
    world = _core.World(retention_ms=2 * DAY_MS, max_history_len=16)
    batch = _core.decode_events(made.events())
    assert len(batch) == len(made.author), batch.rejects()[:1]
    world.apply(batch)
    return world


class ByNumpy:
    """Posts sorted by author, kind and time once; a read gathers the ends of the slices."""

    def __init__(self, made: Posts) -> None:
        self.caps = np.array([MAX_ORIGINALS, MAX_SECONDARY])
        lists = made.author.astype(np.int64) * 2 + made.secondary
        order = np.lexsort((made.post, made.created_ms, lists))
        self.post = made.post[order]
        self.created_ms = made.created_ms[order]
        self.bounds = np.searchsorted(lists[order], np.arange(2 * N_AUTHORS + 1))

    def __call__(self, following: Ids) -> Ids:
        lists = (following.astype(np.int64)[:, None] * 2 + np.arange(2)).ravel()
        end = self.bounds[lists + 1]
        length = np.minimum(end - self.bounds[lists], np.tile(self.caps, len(following)))
        first = np.repeat(end - np.cumsum(length), length)
        rows = first + np.arange(len(first))
        rows = rows[self.created_ms[rows] >= OLDEST_MS]
        if len(rows) > MAX_RESULTS:
            # Equal times at the cut are told apart by id, so all of them come along.
            times = self.created_ms[rows]
            cut = np.partition(times, len(rows) - MAX_RESULTS)[len(rows) - MAX_RESULTS]
            rows = rows[times >= cut]
        newest = np.lexsort((self.post[rows], self.created_ms[rows]))[::-1][:MAX_RESULTS]
        found: Ids = self.post[rows[newest]]
        return found


def by_polars(made: Posts) -> Read:
    """Posts sorted newest first once; a read filters, counts per author and cuts."""
    import polars as pl

    columns: dict[str, npt.NDArray[np.generic]] = {
        "post": made.post,
        "author": made.author,
        "secondary": made.secondary,
        "created_ms": made.created_ms,
    }
    frame = pl.DataFrame(columns).sort("created_ms", "post", descending=True).lazy()
    place = pl.int_range(pl.len()).over("author", "secondary")
    cap = pl.when("secondary").then(MAX_SECONDARY).otherwise(MAX_ORIGINALS)

    def read(following: Ids) -> Ids:
        is_followed = pl.col("author").is_in(pl.Series(following).implode())
        newest = frame.filter(is_followed, pl.col("created_ms") >= OLDEST_MS).filter(place < cap)
        found: Ids = newest.head(MAX_RESULTS).select("post").collect().to_series().to_numpy()
        return found

    return read


def run() -> list[Row]:
    made = posts(SEED, N_AUTHORS, N_POSTS)
    world = world_of(made)
    peers: dict[str, Read] = {
        "numpy: sorted once, slices per author, partition, lexsort": ByNumpy(made)
    }
    if find_spec("polars"):
        peers["polars: sorted once, filter, count per author"] = by_polars(made)
    return [
        row
        for n_followed in FOLLOWED
        for row in _compare(
            world, followings(SEED + 100, N_VIEWERS, n_followed, N_AUTHORS), n_followed, peers
        )
    ]


def _compare(
    world: _core.World, following: Sequence[Ids], n_followed: int, peers: dict[str, Read]
) -> list[Row]:
    queries = []
    for followed in following:
        query = _core.Query(ASKER, NOW_MS)
        query.set_following(followed.tolist())
        queries.append(query)

    def ours(query: _core.Query) -> Ids:
        return world.in_network(
            query,
            oldest_ms=OLDEST_MS,
            max_results=MAX_RESULTS,
            max_originals_per_author=MAX_ORIGINALS,
            max_secondary_per_author=MAX_SECONDARY,
        )

    rows: list[Row] = []
    for note, peer in peers.items():
        for query, followed in zip(queries, following, strict=True):
            np.testing.assert_array_equal(ours(query), peer(followed))
        times = micros(_each(ours, queries), _each(peer, following), per=len(queries))
        workload = f"follows {n_followed:,} of {N_AUTHORS:,} authors, {N_POSTS:,} posts"
        rows.append(Row("thunder", workload, *times, "µs per read", note))
    return rows


def _each(read: Callable[[Viewer], Ids], viewers: Sequence[Viewer]) -> Side:
    """One read for every viewer."""
    return lambda _: [read(viewer) for viewer in viewers]
