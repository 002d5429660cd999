"""What every profile knows about the moment at which a post was shown.

Training reads it from the log and serving from the clock; both come through here, so that a
model is served what it was trained on. Time zones are unknown to our events, so hours and
weekdays are those of UTC.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.features import hour_of_day, is_stale, local_time, post_age_bucket

Times = npt.NDArray[np.int64]


def history_moments(config: PhoenixConfig, shown_ms: Times, created_ms: Times) -> dict[str, Tensor]:
    """Columns of `HistoryInputs` about the moment; none where inputs are blocks of May 2026.

    Args:
        config: of the model that reads them.
        shown_ms: (...) when each post was shown, in Unix milliseconds.
        created_ms: (...) when each post was created; 0 for unknown.
    """
    if config.inputs == "blocks":
        return {}
    hour, weekday = local_time(shown_ms, np.zeros_like(shown_ms))
    return {
        "post_age": _age(config, shown_ms, created_ms),
        "hour": torch.from_numpy(hour),
        "weekday": torch.from_numpy(weekday),
    }


def candidate_moments(
    config: PhoenixConfig, shown_ms: Times, created_ms: Times
) -> dict[str, Tensor]:
    """Columns of `CandidateInputs` about the moment; arguments as for `history_moments`."""
    if config.inputs == "blocks":
        hour = torch.from_numpy(hour_of_day(shown_ms))
        return {"post_age": _age(config, shown_ms, created_ms), "hour": hour}
    stale = is_stale(shown_ms // 1_000, created_ms // 1_000) & (created_ms > 0)
    return {
        **history_moments(config, shown_ms, created_ms),
        "stale": torch.from_numpy(stale),
    }


def _age(config: PhoenixConfig, shown_ms: Times, created_ms: Times) -> Tensor:
    """(...) buckets of the posts' ages."""
    secs = shown_ms // 1_000, created_ms // 1_000
    return torch.from_numpy(post_age_bucket(*secs, config.post_age_granularity_mins))
