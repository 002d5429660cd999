"""The one table of actions: model heads, weights, explanations and docs follow its order."""

from typing import Final, Literal, NamedTuple

from xfeed import _core


class ActionSpec(NamedTuple):
    """One row of the table.

    Attributes:
        name: name used in events, weights and answers.
        published_number: number in the published vocabulary; None for the continuous heads.
        kind: a probability or an amount of seconds.
        sign: whether it speaks for or against the post.
        origin: whether applications send it, with seconds or without, or xfeed derives it.
        meaning: one line for people.
    """

    name: str
    published_number: int | None
    kind: Literal["discrete", "continuous"]
    sign: Literal["positive", "negative"]
    origin: Literal["sent", "sent with seconds", "derived"]
    meaning: str


ACTIONS: Final[tuple[ActionSpec, ...]] = tuple(ActionSpec(*row) for row in _core.actions())
"""Every action; a row's position is its bit, its model head and its weight index."""

N_DISCRETE: Final = sum(action.kind == "discrete" for action in ACTIONS)
"""Number of discrete actions; they are the first rows."""

DWELLED_AT_SECS: Final = _core.dwelled_at_secs()
"""Seconds on a post from which it counts as `dwell`."""

INDEX: Final[dict[str, int]] = {action.name: row for row, action in enumerate(ACTIONS)}
"""Name to position."""
