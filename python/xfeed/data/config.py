"""The settings of a synthetic community, and the clock and shares that all its parts agree on."""

from dataclasses import dataclass
from typing import Final

from xfeed.errors import ConfigError

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS

NEVER_MS: Final = 2**62
"""Stands for "does not happen" in arrays of times; it is never written into an event."""

SETTLE_MS: Final = 11 * 60_000
"""Everything that a viewer does with an impression is over after this long.

Impressions keep this distance from the end of the window and from the deletion of their post, so
that no action comes after either.
"""

POST_ID_EPOCH_MS: Final = 1_288_834_974_657
"""Start of the clock inside post and request ids, which are larger than 2^53 on purpose."""

HOUR_SHARE: Final = (
    0.036, 0.023, 0.015, 0.009, 0.008, 0.010, 0.017, 0.026, 0.034, 0.040, 0.046, 0.052,
    0.059, 0.056, 0.051, 0.053, 0.056, 0.060, 0.056, 0.055, 0.056, 0.061, 0.064, 0.057,
)  # fmt: skip
"""Share of a day's impressions in each local hour, measured on KuaiRand-Pure."""


@dataclass(frozen=True, kw_only=True)
class CommunityConfig:
    """What to generate; the same settings always give the same bytes.

    Attributes:
        seed: start of every random stream.
        n_people: how many people, from 50 to 50,000.
        n_posts: how many posts of all kinds, reposts included, from 200.
        n_impressions: how many impressions to aim at. A small community may have seen
            everything there is before that; then there are fewer. Impressions after a block or a
            mute that an impression led to are taken back, which costs some per mille.
        hours: length of the window in which posts are made and seen, from 12 to 720.
        end_ms: end of the window, unix milliseconds; no event is later.
    """

    seed: int = 20_260_901
    n_people: int = 3_000
    n_posts: int = 12_000
    n_impressions: int = 120_000
    hours: int = 72
    end_ms: int = 1_788_220_800_000

    def __post_init__(self) -> None:
        bounds = {
            "seed": (0, 2**63 - 1),
            "n_people": (50, 50_000),
            "n_posts": (200, 2_000_000),
            "n_impressions": (1, 20_000_000),
            "hours": (12, 720),
            "end_ms": (POST_ID_EPOCH_MS + 2_000 * DAY_MS, POST_ID_EPOCH_MS + 2**40),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(
                    f"`{name}` is `{value}`, allowed are {low} to {high}",
                    code="out_of_bounds",
                    hint=f"choose a `{name}` within the bounds",
                )

    @property
    def start_ms(self) -> int:
        """Start of the window, unix milliseconds."""
        return self.end_ms - self.hours * HOUR_MS

    @property
    def burst_start_ms(self) -> int:
        """When the announcement is made that one topic talks about for two hours."""
        return self.start_ms + (self.hours * 7 // 10) * HOUR_MS

    @property
    def burst_end_ms(self) -> int:
        """When that talk is over."""
        return self.burst_start_ms + 2 * HOUR_MS
