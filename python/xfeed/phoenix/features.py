"""Turns raw columns into what the models read, alike for training and for serving.

Everything here is a pure function of values known at one moment. `known_at` is the one place
that decides what was known then, so that a model never trains on what it could not have seen.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from xfeed.actions import DWELLED_AT_SECS, INDEX
from xfeed.errors import ConfigError
from xfeed.phoenix.config import DURATION_BUCKETS, MEDIA_KINDS, POST_AGE_LIMIT_MINS

Ints = npt.NDArray[np.int64]

SNOWFLAKE_EPOCH_MS: Final = 1_288_834_974_657
"""Unix milliseconds that published ids count from."""

TIMEZONE_HOURS: Final = np.array(
    [
        *(0, -5, -6, -8, -7, -3, 0, 1, 1, 1, 1, 1, 3, 3, 9, 5.5),
        *(8, 9, 7, 7, 4, 3, 8, 8, 11, -10, -7, -5, -6, -3, 1, 0),
    ]
)
"""Hours that each of the 32 published time zones is ahead of UTC, without daylight saving."""

STALE_AFTER_SECS: Final = 1_213_200
"""Age at which a post counts as stale: 14 days and an hour."""

UNEXPLORED_SHARE: Final = 0.03
"""Views per follower that a post of a day should have."""

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


def local_time(at_ms: Ints, timezone: npt.NDArray[np.integer[Any]]) -> tuple[Ints, Ints]:
    """Hour and day of the week where the viewer is (published table of offsets).

    Args:
        at_ms: Unix milliseconds, any shape; 0 and below is unknown.
        timezone: number of the time zone, the same shape; an unknown number counts as UTC.

    Returns:
        Hours plus one in [1, 24] and days plus one in [1, 7], Monday first; both 0 where unknown.
    """
    known = (timezone >= 0) & (timezone < len(TIMEZONE_HOURS))
    hours = np.where(known, TIMEZONE_HOURS[np.where(known, timezone, 0)], 0)
    local = at_ms + (hours * 3_600_000).astype(np.int64)
    hour = local // 3_600_000 % 24 + 1
    weekday = (local // 86_400_000 + 3) % 7 + 1  # the epoch was a Thursday
    return np.where(at_ms <= 0, 0, hour), np.where(at_ms <= 0, 0, weekday)


def snowflake_secs(ids: Ints) -> Ints:
    """Unix seconds at which published ids were given out; 0 for id 0."""
    return np.where(ids == 0, 0, ((ids >> 22) + SNOWFLAKE_EPOCH_MS) // 1_000)


def post_age_log_bucket(shown_secs: Ints, created_secs: Ints, n_buckets: int) -> Ints:
    """Bucket of a post's age on a logarithmic scale; fine for new posts, coarse for old ones.

    ``floor(n * log1p(minutes) / log1p(4800)) + 1``; 0 for an unknown time or a negative age, and
    ``n + 1`` from 4,800 minutes on.
    """
    minutes = (shown_secs - created_secs) // 60
    share = np.log1p(np.maximum(minutes, 0)) / np.log1p(POST_AGE_LIMIT_MINS)
    bucket = np.minimum((n_buckets * share).astype(np.int64), n_buckets) + 1
    unknown = (minutes < 0) | (shown_secs == 0) | (created_secs == 0)
    return np.where(unknown, 0, bucket)


def count_bucket(counts: Ints, last: int) -> Ints:
    """Bucket of an engagement count: its number of binary digits, at most `last`."""
    digits = np.frexp(np.maximum(counts, 0).astype(np.float64))[1]
    return np.minimum(digits, last).astype(np.int64)


def is_stale(shown_secs: Ints, created_secs: Ints) -> npt.NDArray[np.bool_]:
    """Whether posts are so old that their counts are not shown to the model."""
    return shown_secs - created_secs > STALE_AFTER_SECS


def is_unexplored(
    followers: npt.NDArray[np.float64],
    views: npt.NDArray[np.float64],
    shown_secs: Ints,
    created_secs: Ints,
    is_reply: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Whether too few have seen a post of the last day for what its author's audience is.

    ``views < 0.03 * followers * (1 - 2^(-age / 8 h)) / (1 - 2^(-3))``; a reply never is.

    Args:
        followers: (n,) of the author.
        views: (n,) of the post.
        shown_secs: (n,) Unix seconds.
        created_secs: (n,) Unix seconds.
        is_reply: (n,).
    """
    age_hours = (shown_secs - created_secs) / 3_600
    due = UNEXPLORED_SHARE * followers * (1 - 2 ** (-age_hours / 8)) / (1 - 2**-3.0)
    return ~is_reply & (age_hours <= 24) & (views < due)


def fit_budget(lengths: Ints, budget: int, least: int, most: int) -> Ints:
    """Changes the fewest history lengths so that each batch has exactly its budget of blocks.

    What is too much is taken from the longest first, what is missing is given to the shortest
    first, each as far as the bounds allow.

    Args:
        lengths: (..., B) blocks of each sample.
        budget: blocks of a batch.
        least: fewest blocks of a sample.
        most: most blocks of a sample.

    Raises:
        ConfigError: `budget` cannot be reached within the bounds.
    """
    B = lengths.shape[-1]
    if not least * B <= budget <= most * B:
        raise ConfigError(
            f"`budget` of {B} samples must lie in [{least * B}, {most * B}], got `{budget}`",
            code="out_of_bounds",
        )
    fitted = np.clip(lengths, least, most)
    order = np.argsort(fitted, axis=-1, kind="stable")
    excess = fitted.sum(-1, keepdims=True) - budget
    order = np.where(excess > 0, order[..., ::-1], order)
    value = np.take_along_axis(fitted, order, -1)
    room = np.where(excess > 0, value - least, most - value)
    before = np.cumsum(room, axis=-1) - room
    change = np.clip(np.abs(excess) - before, 0, room)
    np.put_along_axis(fitted, order, value - np.sign(excess) * change, -1)
    return fitted


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
