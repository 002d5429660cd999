import tomllib
from pathlib import Path
from typing import Any

import pytest
from xfeed import ConfigError, Feed, FeedConfig
from xfeed.config import load_config
from xfeed.config_text import parse_override, to_toml

AGE = "XFEED_FILTERS__AGE__MAX_AGE_SECS"


def age(config: FeedConfig) -> int:
    return config.filters.age.max_age_secs


def write(directory: Path, text: str) -> Path:
    (directory / "xfeed.toml").write_text(text, encoding="utf-8")
    return directory


def test_the_caller_beats_the_environment_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    override = {"filters": {"age": {"max_age_secs": 4}}}
    assert age(load_config(tmp_path, None, {})) == 172_800
    write(tmp_path, "[filters.age]\nmax_age_secs = 2\n")
    assert age(load_config(tmp_path, None, {})) == 2
    assert age(load_config(tmp_path, None, {AGE: "3"})) == 3
    assert age(load_config(tmp_path, override, {AGE: "3"})) == 4
    assert age(load_config(None, override, {AGE: "3"})) == 4


def test_each_layer_keeps_what_the_next_does_not_say(tmp_path: Path) -> None:
    write(tmp_path, "page_size = 7\nseed = 1\n[filters.age]\nmax_age_secs = 2\n")
    override = {"filters": {"labels": {"removing": ["x"]}}}
    config = load_config(tmp_path, override, {"XFEED_SEED": "5"})
    assert (config.page_size, config.seed, age(config)) == (7, 5, 2)
    assert config.filters.labels.removing == ("x",)


def test_a_feed_reads_all_three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "page_size = 7\nseed = 1\nsurface = 2\n")
    monkeypatch.setenv("XFEED_SEED", "5")
    monkeypatch.setenv("XFEED_SURFACE", "3")
    with Feed.open(tmp_path, config={"surface": 4}) as feed:
        config = feed.config
    assert (config.page_size, config.seed, config.surface) == (7, 5, 4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('["a", "b"]', ("a", "b")),
        ("[]", ()),
    ],
)
def test_lists_in_the_environment_are_toml(text: str, expected: tuple[str, ...]) -> None:
    config = load_config(None, None, {"XFEED_FILTERS__LABELS__REMOVING": text})
    assert config.filters.labels.removing == expected


def test_other_variables_do_not_matter() -> None:
    variables = {"XFEED_DATA": "/somewhere", "FEED_SEED": "9", "PATH": "/bin"}
    assert load_config(None, None, variables) == FeedConfig()


@pytest.mark.parametrize(
    ("settings", "name", "near"),
    [
        ({"page_sise": 5}, "page_sise", "page_size"),
        ({"filters": {"age": {"max_age": 5}}}, "filters.age.max_age", "filters.age.max_age_secs"),
        ({"filter": {"age": 5}}, "filter", "filters"),
        ({"scoring": {"weigths": {}}}, "scoring.weigths", "scoring.weights"),
    ],
)
def test_an_unknown_setting_names_the_nearest(
    settings: dict[str, Any], name: str, near: str
) -> None:
    with pytest.raises(ConfigError, match=f"there is no setting `{name}`") as caught:
        load_config(None, settings, {})
    assert caught.value.code == "unknown_setting"
    assert caught.value.hint == f"did you mean `{near}`?"


def test_an_unknown_setting_is_refused_in_the_file_and_in_the_environment(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`page_sizes`"):
        load_config(None, None, {"XFEED_PAGE_SIZES": "3"})
    write(tmp_path, "page_sizes = 3\n")
    with pytest.raises(ConfigError, match="`page_sizes`"):
        Feed.open(tmp_path)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("page_size", [1, 500], [0, 501, -1, "many", 1.5, None]),
        ("seed", [0, 2**63 - 1], [-1, 2**63]),
        ("surface", [0, 15], [-1, 16]),
        ("ingest_batch_len", [1, 100_000], [0, 100_001]),
        ("threads", [1, 256], [0, 257]),
        ("clock", ["log", "system"], ["sun", 1]),
        ("filters.age.max_age_secs", [1], [0, -1]),
        ("thunder.retention_secs", [1], [0]),
        ("training.held_out_fraction", [0.5], [0, 1, 1.5, "half"]),
        ("training.ranker_epochs", [1, 100], [0, 101]),
        ("scoring.weights.favorite", [0.0, -3.5], ["much"]),
    ],
)
def test_values_outside_their_bounds_are_refused_by_name(
    name: str, good: list[Any], bad: list[Any]
) -> None:
    def nested(value: Any) -> dict[str, Any]:
        for key in reversed(name.split(".")):
            value = {key: value}
        return dict(value)

    for value in good:
        load_config(None, nested(value), {})
    for value in bad:
        with pytest.raises(ConfigError) as caught:
            load_config(None, nested(value), {})
        assert caught.value.code == "bad_setting"
        assert f"`{name}`" in str(caught.value)
        assert f"`{value}`" in str(caught.value)


def test_an_unknown_action_has_no_weight(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="favourite"):
        Feed.open(tmp_path, config={"scoring": {"weights": {"favourite": 1.0}}})


def test_a_weight_that_is_no_number_is_refused(tmp_path: Path) -> None:
    for weight in (float("nan"), float("inf")):
        with pytest.raises(ConfigError):
            Feed.open(tmp_path, config={"scoring": {"weights": {"favorite": weight}}})


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    for text in ("page_size = = 3", "page_size"):
        with pytest.raises(ConfigError, match="not valid TOML") as caught:
            load_config(write(tmp_path, text), None, {})
        assert caught.value.code == "bad_toml"
        assert "xfeed.toml" in str(caught.value)
    (tmp_path / "xfeed.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(tmp_path, None, {})


def test_toml_written_is_read_back_the_same(tmp_path: Path) -> None:
    settings = {
        "seed": 5,
        "filters": {"labels": {"removing": ["é\"'\\ 🦀", "new\nline"]}},
        "scoring": {"weights": {"favorite": 1e-300, "report": -369.0}},
        "pipeline": {"filters": []},
    }
    config = load_config(None, settings, {})
    text = to_toml(config.model_dump())
    assert tomllib.loads(text) == config.model_dump(mode="json")
    again = load_config(write(tmp_path, text), None, {})
    assert (again, again.digest) == (config, config.digest)


def leaves(
    settings: dict[str, Any], path: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], Any]]:
    found = []
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            found += leaves(value, (*path, key))
        else:
            found.append(((*path, key), value))
    return found


OTHER_WORDS = {
    "log": "system", "stop": "rebuild", "auto": "torch", "cpu": "cuda", "exact": "ann",
    "float32": "bfloat16", "int8": "float32", "demo": "tiny",
}  # fmt: skip
"""Another choice, by the default, where only some words are allowed."""


def changed(value: Any) -> Any:
    """Another allowed value of the same type."""
    match value:
        case str() if value in OTHER_WORDS:
            return OTHER_WORDS[value]
        case str():
            return value + "x"
        case float():
            return value / 2 or 0.5
        case 0 if not isinstance(value, bool):
            return 2**20  # Some limits are 0 (none) or at least this.
        case int():
            return value + 1
        case list():
            return [*value, "x"]
        case _:
            return {"favorite": 2.0}


def test_every_setting_is_in_the_digest() -> None:
    default = FeedConfig()
    digests = {default.digest}
    settings = leaves(default.model_dump(mode="json"))
    for path, value in settings:
        nested: Any = changed(value)
        for key in reversed(path):
            nested = {key: nested}
        digests.add(load_config(None, nested, {}).digest)
    assert len(digests) == len(settings) + 1 > 25
    assert FeedConfig().digest == default.digest


@pytest.mark.parametrize(
    ("text", "nested"),
    [
        ("seed=5", {"seed": 5}),
        ("filters.age.max_age_secs = 3_600", {"filters": {"age": {"max_age_secs": 3600}}}),
        ("clock=system", {"clock": "system"}),
        ('clock="system"', {"clock": "system"}),
        ("a=b=c", {"a": "b=c"}),
        ('x.y=["a", "b"]', {"x": {"y": ["a", "b"]}}),
        ("flag=true", {"flag": True}),
        ("empty=", {"empty": ""}),
    ],
)
def test_overrides_are_read_as_toml_or_as_text(text: str, nested: dict[str, Any]) -> None:
    assert parse_override(text) == nested


@pytest.mark.parametrize("text", ["seed", "", "=5", "seed:5"])
def test_what_is_no_assignment_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not an assignment") as caught:
        parse_override(text)
    assert caught.value.code == "bad_override"


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        FeedConfig().seed = 3  # type: ignore[misc]


def test_a_store_too_small_to_hold_anything_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"thunder\.max_bytes.*at least 1048576"):
        load_config(None, {"thunder": {"max_bytes": 2**20 - 1}}, {})
    assert load_config(None, {"thunder": {"max_bytes": 2**20}}, {}).thunder.max_bytes == 2**20
