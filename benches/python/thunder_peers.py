"""What one would write in Python: DuckDB, polars and NumPy, asked for the newest originals.

Each gives the newest `MAX_RESULTS` of the newest `MAX_ORIGINALS` originals of each followed
account, newest first, equal times by descending id. All three hold posts that were sorted once and
are frozen.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from benches.python.thunder_workload import Posts
    from benches.python.workload import Ids

MAX_RESULTS: Final = 1_200
MAX_ORIGINALS: Final = 50


class ByNumpy:
    """Sorted by author and time; a read gathers the ends of the authors' slices."""

    name = "NumPy, sorted once and frozen: slices per author, partition, lexsort"

    def __init__(self, originals: Posts) -> None:
        order = np.lexsort((originals.post, originals.created_ms, originals.author))
        self._post = originals.post[order]
        self._created_ms = originals.created_ms[order]
        self._authors, first = np.unique(originals.author[order], return_index=True)
        self._bounds = np.append(first, len(order))

    def __call__(self, following: Ids) -> Ids:
        place = np.searchsorted(self._authors, following)
        place[place == len(self._authors)] = 0
        place = place[self._authors[place] == following]
        end = self._bounds[place + 1]
        length = np.minimum(end - self._bounds[place], MAX_ORIGINALS)
        first = np.repeat(end - np.cumsum(length), length)
        rows = first + np.arange(len(first))
        if len(rows) > MAX_RESULTS:
            # Equal times at the cut are told apart by id, so all of them come along.
            times = self._created_ms[rows]
            cut = np.partition(times, len(rows) - MAX_RESULTS)[len(rows) - MAX_RESULTS]
            rows = rows[times >= cut]
        newest = np.lexsort((self._post[rows], self._created_ms[rows]))[::-1][:MAX_RESULTS]
        found: Ids = self._post[rows[newest]]
        return found


class ByPolars:
    """Sorted newest first; a read filters, counts per author and cuts."""

    name = "polars, sorted once and frozen: filter, count per author, head"

    def __init__(self, originals: Posts) -> None:
        import polars as pl

        self._pl = pl
        frame = pl.DataFrame(_columns(originals))
        self._posts = frame.sort("created_ms", "post", descending=True).lazy()
        self._place = pl.int_range(pl.len()).over("author")

    def __call__(self, following: Ids) -> Ids:
        pl = self._pl
        is_followed = pl.col("author").is_in(pl.Series(following).implode())
        newest = self._posts.filter(is_followed).filter(self._place < MAX_ORIGINALS)
        found = newest.head(MAX_RESULTS).select("post").collect()
        ids: Ids = found.to_series().to_numpy()
        return ids


class ByDuckdb:
    """A table sorted by author and time; a read joins, ranks per author and cuts.

    Sorted like this it was faster than with an index on the author, and than with a lateral join.
    """

    name = "DuckDB, sorted once: join, row_number per author, limit"

    QUERY: Final = f"""
        select post from posts join follows using (author)
        qualify row_number() over (partition by author order by created_ms desc, post desc)
            <= {MAX_ORIGINALS}
        order by created_ms desc, post desc limit {MAX_RESULTS}
    """  # noqa: S608 (two constants)

    def __init__(self, originals: Posts) -> None:
        import duckdb

        self._database = duckdb.connect()
        self._database.register("made", _columns(originals))
        self._database.execute(
            "create table posts as select * from made order by author, created_ms"
        )
        self._database.unregister("made")

    def __call__(self, following: Ids) -> Ids:
        self._database.register("follows", {"author": following})
        found: Ids = self._database.execute(self.QUERY).fetchnumpy()["post"]
        return found


def _columns(posts: Posts) -> dict[str, Any]:
    return {"post": posts.post, "author": posts.author, "created_ms": posts.created_ms}


def peers(originals: Posts) -> list[tuple[str, Callable[[Ids], Ids]]]:
    """Those that are installed, each with its name."""
    found: list[tuple[str, Callable[[Ids], Ids]]] = [(ByNumpy.name, ByNumpy(originals))]
    if find_spec("polars"):
        found.append((ByPolars.name, ByPolars(originals)))
    if find_spec("duckdb"):
        found.append((ByDuckdb.name, ByDuckdb(originals)))
    return found
