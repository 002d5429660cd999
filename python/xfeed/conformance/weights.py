"""The published names of heads and parameter sets, in our words."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from xfeed.actions import INDEX
from xfeed.conformance.shape import NotCovered
from xfeed.presets import Preset, load_preset

PRESETS: Final[Mapping[str, str]] = {
    "aug2026_defaults": "x-2026-08-21",
    "sep30_2026_defaults": "x-2026-09-30",
}
"""Published parameter set to our preset."""

RENAMED: Final[Mapping[str, str]] = {
    "retweet": "repost",
    "vqv": "video_quality_view",
    "quoted_vqv": "quoted_video_quality_view",
    "cont_dwell_time": "dwell_time",
    "cont_click_dwell_time": "click_dwell_time",
    "cont_active_secs_5m_residual_norm": "active_secs_5m_residual_norm",
}
"""Published head to our action, where they differ."""


def preset_of(table: str) -> Preset:
    """Returns the preset that stands for a published parameter set.

    Raises:
        NotCovered: when there is none.
    """
    if table not in PRESETS:
        raise NotCovered(f"no preset stands for the parameter set `{table}`")
    return load_preset(PRESETS[table])


def by_action(values: Mapping[str, float | None]) -> dict[str, float]:
    """Renames heads to actions and leaves out what is null.

    Raises:
        NotCovered: when a head is none of our actions.
    """
    renamed: dict[str, float] = {}
    for head, value in values.items():
        action = RENAMED.get(head, head)
        if action not in INDEX:
            raise NotCovered(f"the head `{head}` is not an action")
        if value is not None:
            renamed[action] = value
    return renamed


def predictions_of(rows: list[dict[str, float | None]]) -> npt.NDArray[np.float64]:
    """Returns predictions by head as an array of shape `(rows, actions)`; NaN = not predicted.

    Raises:
        NotCovered: when a head is none of our actions.
    """
    predictions = np.full((len(rows), len(INDEX)), np.nan)
    for row, values in enumerate(rows):
        for action, value in by_action(values).items():
            predictions[row, INDEX[action]] = value
    return predictions
