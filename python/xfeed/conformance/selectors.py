"""Cases of the selector."""

from typing import Final

import numpy as np
import numpy.typing as npt

from xfeed import _core
from xfeed.conformance.shape import Input, Results, Shape


class TopK(Input):
    """Scores, and how many to select."""

    k: int
    scores: list[float | None]
    ids: list[int] | None = None


def falling_ids(n: int) -> npt.NDArray[np.uint64]:
    """Returns ids for posts that have none.

    Equal scores go to the larger id; cases without ids expect the earlier post, so ids fall.
    """
    return np.arange(n, 0, -1, dtype=np.uint64)


def top_k(given: TopK) -> Results:
    """The best k and all others."""
    scores = [np.nan if score is None else score for score in given.scores]
    ids = given.ids
    selected, rest = _core.top_k(
        np.array(scores, dtype=np.float64),
        falling_ids(len(scores)) if ids is None else np.array(ids, dtype=np.uint64),
        given.k,
    )
    return {"selected": selected, "non_selected": rest}


TOP_K: Final = (Shape(TopK, top_k),)
