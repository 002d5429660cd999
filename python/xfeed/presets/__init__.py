"""Dated sets of scoring parameters, as data.

The published parameters change every few weeks, and a score means nothing without them. So each
set is one TOML file, named after its source and day; nothing in the code holds a weight. The price:
a new action needs a line in every file.
"""

import datetime as dt
import difflib
import functools
import hashlib
import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from types import MappingProxyType
from typing import Annotated, Final, Self

import numpy as np
import numpy.typing as npt
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_serializer,
)

from xfeed import _core
from xfeed.actions import ACTIONS, INDEX
from xfeed.errors import ConfigError

NO_OVERRIDES: Final[Mapping[str, float]] = MappingProxyType({})
"""The weights of a preset as they are."""


def _all_actions(weights: Mapping[str, float]) -> Mapping[str, float]:
    missing = sorted(INDEX.keys() - weights.keys())
    unknown = sorted(weights.keys() - INDEX.keys())
    if missing or unknown:
        raise ValueError(f"weights lack the actions {missing} and hold the unknown ones {unknown}")
    return MappingProxyType({name: weights[name] for name in INDEX})


Weight = Annotated[float, Field(allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Preset(BaseModel):
    """One dated set of scoring parameters.

    Attributes:
        name: name of the set, which is the stem of its file.
        date: day from which the set held.
        source: where the numbers come from, in words.
        weights: weight per action; every action is there, in the order of the action table.
        mutual_reply_boost: added to the weight of `reply` where viewer and author follow each other
            and the post is neither a reply nor a repost.
        mutual_dwell_boost: added to the weight of `dwell` likewise.
        min_video_ms: milliseconds; only longer videos count for `video_quality_view`.
        max_video_viewer_followers: viewers with so many followers or more do not count
            `video_quality_view`.
        check_quoted_duration: whether quoted videos must be longer than `min_video_ms` as well.
        low_favorite_penalty: whether seconds in an opened post count less when few favorite it.
        offset: score of a post whose weighted sum is 0; negative sums end up below.
        author_diversity_decay: each further post of an author has this share of the one before.
        author_diversity_floor: smallest multiplier of author diversity.
        out_of_network_factor: multiplier of posts from outside the viewer's network.
        rescore_secondary: whether in-network replies and reposts get that multiplier too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    date: dt.date
    source: str
    weights: Annotated[Mapping[str, Weight], AfterValidator(_all_actions)]
    mutual_reply_boost: NonNegative
    mutual_dwell_boost: NonNegative
    min_video_ms: Annotated[int, Field(ge=0)]
    max_video_viewer_followers: Annotated[int, Field(ge=0)]
    check_quoted_duration: bool
    low_favorite_penalty: bool
    offset: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
    author_diversity_decay: Share
    author_diversity_floor: Share
    out_of_network_factor: Share
    rescore_secondary: bool

    @field_serializer("weights")
    def _weights_as_dict(self, weights: Mapping[str, float]) -> dict[str, float]:
        return dict(weights)

    @property
    def digest(self) -> str:
        """SHA-256 of the whole set as canonical JSON, in hexadecimal."""
        fields = self.model_dump(mode="json")
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def weight_array(
        self, overrides: Mapping[str, float] = NO_OVERRIDES
    ) -> npt.NDArray[np.float64]:
        """Returns the weights in the order of the action table.

        Args:
            overrides: weights to use instead, by action.

        Returns:
            A float64 array of shape `(actions,)`.

        Raises:
            ConfigError: when `overrides` names an unknown action or holds a weight that is not
                finite.
        """
        for action, weight in overrides.items():
            if action not in INDEX:
                raise ConfigError(
                    f"there is no action `{action}`",
                    code="unknown_action",
                    hint=_nearest(action, INDEX),
                )
            if not math.isfinite(weight):
                raise ConfigError(
                    f"the weight of `{action}` is `{weight}`",
                    code="bad_weight",
                    hint="give a finite number",
                )
            positive = ACTIONS[INDEX[action]].sign == "positive"
            if weight and (weight > 0) != positive:
                raise ConfigError(
                    f"the weight of `{action}` is `{weight}`",
                    code="bad_weight",
                    hint=f"`{action}` is {'positive' if positive else 'negative'}: give 0 or a "
                    f"{'positive' if positive else 'negative'} number",
                )
        merged = {**self.weights, **overrides}
        return np.array([merged[action] for action in INDEX], dtype=np.float64)

    def digest_with(self, overrides: Mapping[str, float] = NO_OVERRIDES) -> str:
        """Returns the hash of these parameters with `overrides` in force."""
        return self.model_copy(update={"weights": {**self.weights, **overrides}}).digest

    def weighted_sum(self, overrides: Mapping[str, float] = NO_OVERRIDES) -> _core.WeightedSum:
        """Returns the scorer that these parameters describe.

        Args:
            overrides: weights to use instead, by action.

        Returns:
            A scorer of the engine.

        Raises:
            ConfigError: as `weight_array`.
        """
        return _core.WeightedSum(
            weights=self.weight_array(overrides).tolist(),
            mutual_reply_boost=self.mutual_reply_boost,
            mutual_dwell_boost=self.mutual_dwell_boost,
            min_video_ms=self.min_video_ms,
            max_video_viewer_followers=self.max_video_viewer_followers,
            check_quoted_duration=self.check_quoted_duration,
            low_favorite_penalty=self.low_favorite_penalty,
            offset=self.offset,
        )

    @classmethod
    def from_toml(cls, text: str, *, name: str) -> Self:
        """Reads one set from TOML.

        Args:
            text: the TOML.
            name: name that the set must have.

        Returns:
            The checked set.

        Raises:
            ConfigError: when the text is not TOML or does not describe exactly one set of this
                name.
        """
        try:
            preset = cls.model_validate(tomllib.loads(text))
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            raise ConfigError(
                f"the preset `{name}` cannot be read: {error}",
                code="bad_preset",
                hint="compare it with a preset that comes with the package",
            ) from error
        if preset.name != name:
            raise ConfigError(
                f"the preset `{name}` calls itself `{preset.name}`",
                code="bad_preset",
                hint="name the file after the preset",
            )
        return preset


def available() -> tuple[str, ...]:
    """Returns the names of the presets that come with the package, sorted."""
    files = resources.files(__name__).iterdir()
    return tuple(
        sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))
    )


@functools.cache
def load_preset(name: str) -> Preset:
    """Returns the preset of the given name.

    Args:
        name: one of `available()`.

    Returns:
        The preset; presets are frozen, so all callers may share it.

    Raises:
        ConfigError: when there is no such preset or its file is damaged.

    Example:
        >>> load_preset("x-2026-08-21").weights["favorite"]
        0.5
    """
    known = available()
    if name not in known:
        raise ConfigError(
            f"there is no preset `{name}`", code="unknown_preset", hint=_nearest(name, known)
        )
    file = resources.files(__name__).joinpath(f"{name}.toml")
    return Preset.from_toml(file.read_text(encoding="utf-8"), name=name)


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean `{close[0]}`?" if close else f"use one of {', '.join(names)}"
