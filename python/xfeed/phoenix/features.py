"""Turns raw columns into what the models read, alike for training and for serving.

Everything here is a pure function of values known at one moment. `known_at` is the one place
that decides what was known then, so that a model never trains on what it could not have seen.
"""

import numpy as np
import numpy.typing as npt

from xfeed.actions import DWELLED_AT_SECS, INDEX
from xfeed.phoenix.config import DURATION_BUCKETS, MEDIA_KINDS, POST_AGE_LIMIT_MINS

DWELL_BIT = np.uint64(1 << INDEX["dwell"])
NOT_DWELLED_BIT = np.uint64(1 << INDEX["not_dwelled"])
NOT_BY_VIEWER = DWELL_BIT | NOT_DWELLED_BIT | np.uint64(1 << INDEX["post_unexplored"])
"""Derived actions, which do not count as something the viewer did."""


def post_age_bucket(
    shown_secs: npt.NDArray[np.int64], created_secs: npt.NDArray[np.int64], granularity_mins: int
) -> npt.NDArray[np.int64]:
    """Bucket of a post's age when it is shown (published rule).

    Args:
        shown_secs: Unix seconds of the impression, any shape.
        created_secs: Unix seconds of the creation, the same shape.
        granularity_mins: width of a bucket.

    Returns:
        Buckets from 1, the last one open; 0 for an unknown time or a negative age.
    """
    minutes = (shown_secs - created_secs) // 60
    last = POST_AGE_LIMIT_MINS // granularity_mins + 1
    bucket = np.clip(minutes // granularity_mins + 1, 0, last)
    unknown = (minutes < 0) | (shown_secs == 0) | (created_secs == 0)
    return np.where(unknown, 0, bucket).astype(np.int64)


def duration_bucket(duration_ms: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Log-spaced bucket of a video's length: 0 unknown, 1 up to a second, then one per octave.

    Args:
        duration_ms: lengths, any shape.

    Returns:
        Buckets in [0, DURATION_BUCKETS).
    """
    secs = np.maximum(duration_ms, 1).astype(np.float64) / 1_000
    octave = np.ceil(np.log2(np.maximum(secs, 1.0))).astype(np.int64) + 1
    return np.where(duration_ms <= 0, 0, np.minimum(octave, DURATION_BUCKETS - 1))


def media_index(media_kind: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Media kinds as table rows; an unknown kind counts as none."""
    return np.where(media_kind < MEDIA_KINDS, media_kind, 0).astype(np.int64)


def hour_of_day(at_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Hour of the day in UTC plus one; 0 for an unknown time."""
    return np.where(at_ms <= 0, 0, at_ms // 3_600_000 % 24 + 1)


def known_at(
    moment_ms: npt.NDArray[np.int64],
    at_ms: npt.NDArray[np.int64],
    actions: npt.NDArray[np.uint64],
    dwell_secs: npt.NDArray[np.float32],
    acted_ms: npt.NDArray[np.int64],
    is_impression: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float32]]:
    """What was known of interactions at a moment.

    Actions at or after the moment are blanked (all of a row when its last one is), dwell is cut
    to the time that had passed, and the two derived actions are derived anew from what is left.

    Args:
        moment_ms: the moment, broadcast against the rows.
        at_ms: time of the impression.
        actions: action bits.
        dwell_secs: seconds spent in the end.
        acted_ms: time of the last action; 0 counts as known.
        is_impression: whether the post was shown.

    Returns:
        Action bits and seconds.
    """
    blank = acted_ms >= moment_ms
    elapsed = np.maximum(moment_ms - at_ms, 0).astype(np.float32) / np.float32(1_000)
    dwell = np.minimum(np.maximum(dwell_secs, np.float32(0)), elapsed)
    return derived_actions(np.where(blank, np.uint64(0), actions), dwell, is_impression), dwell


def derived_actions(
    actions: npt.NDArray[np.uint64],
    dwell_secs: npt.NDArray[np.float32],
    is_impression: npt.NDArray[np.bool_],
) -> npt.NDArray[np.uint64]:
    """Sets `dwell` and `not_dwelled` from the seconds and the other actions.

    `dwell` is a stay of at least ten seconds; `not_dwelled` an impression without any action
    and without such a stay. Bits that came with the row are replaced.
    """
    own = actions & ~(DWELL_BIT | NOT_DWELLED_BIT)
    dwelled = dwell_secs >= np.float32(DWELLED_AT_SECS)
    passed = is_impression & ~dwelled & (own & ~NOT_BY_VIEWER == 0)
    return (
        own
        | np.where(dwelled, DWELL_BIT, np.uint64(0))
        | np.where(passed, NOT_DWELLED_BIT, np.uint64(0))
    )
