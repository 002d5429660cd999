import pytest
from xfeed.adapters import ADAPTERS, adapter
from xfeed.errors import ConfigError


def test_every_adapter_is_found_by_its_name() -> None:
    assert len(ADAPTERS) >= 2
    for kind in ADAPTERS:
        assert isinstance(adapter(kind.name), kind)


def test_names_are_unique_and_every_adapter_has_a_summary() -> None:
    assert len({kind.name for kind in ADAPTERS}) == len(ADAPTERS)
    assert all(kind.summary and "\n" not in kind.summary for kind in ADAPTERS)


def test_an_unknown_name_hints_at_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no format `kuairnd`") as caught:
        adapter("kuairnd")
    assert caught.value.hint == "did you mean `kuairand`?"


def test_a_name_like_no_other_gets_the_whole_list() -> None:
    with pytest.raises(ConfigError, match="`jsonl`, `kuairand`") as caught:
        adapter("xyzzy")
    assert caught.value.code == "unknown_format"
