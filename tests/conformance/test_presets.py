import math
from importlib import resources

import numpy as np
import pytest
from pydantic import ValidationError
from xfeed.actions import INDEX
from xfeed.errors import ConfigError
from xfeed.presets import Preset, available, load_preset

AUGUST, SEPTEMBER = "x-2026-08-21", "x-2026-09-30"


def toml_of(name: str) -> str:
    return resources.files("xfeed.presets").joinpath(f"{name}.toml").read_text()


def test_both_dated_presets_come_with_the_package() -> None:
    assert available() == (AUGUST, SEPTEMBER)
    for name in available():
        preset = load_preset(name)
        assert preset.name == name
        assert preset.name.endswith(preset.date.isoformat())
        assert list(preset.weights) == list(INDEX)


@pytest.mark.parametrize(
    ("name", "positive", "negative"), [(AUGUST, 43.32, 367.22), (SEPTEMBER, 43.24, 371.54)]
)
def test_the_sums_of_the_weights_are_the_published_ones(
    name: str, positive: float, negative: float
) -> None:
    sums = load_preset(name).weighted_sum().sums()
    assert sums == pytest.approx((positive, negative, positive + negative), rel=1e-12)


def test_weights_come_in_the_order_of_the_action_table() -> None:
    weights = load_preset(AUGUST).weight_array({"reply": 6.0})
    assert weights.dtype == np.float64
    assert weights[INDEX["favorite"]] == 0.5
    assert weights[INDEX["reply"]] == 6.0
    assert load_preset(AUGUST).weight_array()[INDEX["reply"]] == 5.0


def test_an_unknown_action_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="did you mean `favorite`") as caught:
        load_preset(AUGUST).weighted_sum({"favourite": 1.0})
    assert caught.value.code == "unknown_action"


@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_a_weight_that_is_not_finite_is_refused(weight: float) -> None:
    with pytest.raises(ConfigError) as caught:
        load_preset(AUGUST).weight_array({"reply": weight})
    assert caught.value.code == "bad_weight"


def test_an_unknown_preset_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="did you mean `x-2026-09-30`") as caught:
        load_preset("x-2026-09-3")
    assert caught.value.code == "unknown_preset"


def test_a_preset_can_neither_be_changed_nor_lend_its_weights() -> None:
    preset = load_preset(AUGUST)
    with pytest.raises(ValidationError):
        preset.offset = 1.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        preset.weights["reply"] = 0.0  # type: ignore[index]


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("favorite = 0.5", ""),
        ("favorite = 0.5", "favorite = nan"),
        ("favorite = 0.5", "favorite = 0.5\nfavourite = 0.5"),
        ("offset = 0.001", "offset = 0.0"),
        ("offset = 0.001", "offset = 0.001\nofset = 0.001"),
        ("author_diversity_floor = 0.25", "author_diversity_floor = 1.25"),
        (f'name = "{AUGUST}"', 'name = "another"'),
        ("offset = 0.001", "offset ="),
    ],
)
def test_a_damaged_preset_is_refused(line: str, instead: str) -> None:
    text = toml_of(AUGUST)
    assert line in text
    with pytest.raises(ConfigError) as caught:
        Preset.from_toml(text.replace(line, instead, 1), name=AUGUST)
    assert caught.value.code == "bad_preset"


def test_the_digest_follows_every_number() -> None:
    text = toml_of(AUGUST)
    same = Preset.from_toml(text + "\n# a remark", name=AUGUST)
    other = Preset.from_toml(text.replace("reply = 5.0", "reply = 5.5"), name=AUGUST)
    assert same.digest == load_preset(AUGUST).digest
    assert other.digest != load_preset(AUGUST).digest
    assert load_preset(AUGUST).model_copy(update={"offset": 0.002}).digest != same.digest
    assert len(same.digest) == 64
