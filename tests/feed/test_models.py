"""Which model serves, and what happens while another one takes its place."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from xfeed import Feed
from xfeed.errors import BundleError
from xfeed.models import ModelStore
from xfeed.phoenix.options import RuntimeOptions
from xfeed.phoenix.runtime import Phoenix

WAIT_SECS = 30


@pytest.fixture
def directory(fitted_dir: Path, tmp_path: Path) -> Path:
    """A copy of the models of the small community."""
    shutil.copytree(fitted_dir / "bundles", tmp_path / "bundles")
    return tmp_path


def second_bundle(directory: Path) -> str:
    """Another good bundle: the same models with other metrics, so under another id."""
    import hashlib
    import json

    bundles = directory / "bundles"
    old = (bundles / "active").read_text().strip()
    manifest = json.loads((bundles / old / "manifest.json").read_text())
    text = json.dumps(manifest | {"metrics": {"second": 1}}).encode()
    new = hashlib.sha256(text).hexdigest()
    shutil.copytree(bundles / old, bundles / new)
    (bundles / new / "manifest.json").write_bytes(text)
    return new


def test_without_a_model_there_is_none(tmp_path: Path) -> None:
    store = ModelStore(tmp_path, RuntimeOptions())
    assert store.current() is None
    assert store.problem == ""


def test_options_reach_the_loaded_model(directory: Path) -> None:
    options = RuntimeOptions(candidate_chunk=99, dtype="bfloat16")
    model = ModelStore(directory, options).current()
    assert model is not None
    assert model.options == options


def test_the_old_model_serves_while_the_new_one_is_loaded(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore(directory, RuntimeOptions())
    old = store.current()
    assert old is not None
    new_id = second_bundle(directory)
    (directory / "bundles" / "active").write_text(new_id)
    loading, go_on = threading.Event(), threading.Event()
    load = Phoenix.load

    def slow(*arguments: Any) -> Phoenix:
        loading.set()
        assert go_on.wait(WAIT_SECS)
        return load(*arguments)

    monkeypatch.setattr(Phoenix, "load", slow)
    got: list[Any] = []
    first = threading.Thread(target=lambda: got.append(store.current()))
    first.start()
    assert loading.wait(WAIT_SECS)
    # the first to notice loads; nobody else waits for it
    assert store.current() is old
    assert store.current() is old
    go_on.set()
    first.join(WAIT_SECS)
    new = store.current()
    assert new is not None
    assert got == [new]
    assert new.bundle_id == new_id
    # caches belong to a model, so nothing of the old one is left
    assert new.stats.contexts.entries == new.stats.scores.entries == 0


def test_a_damaged_new_model_leaves_the_old_one_serving(directory: Path) -> None:
    store = ModelStore(directory, RuntimeOptions())
    old = store.current()
    new_id = second_bundle(directory)
    tables = directory / "bundles" / new_id / "ranker_tables.safetensors"
    tables.write_bytes(tables.read_bytes()[:-1])
    (directory / "bundles" / "active").write_text(new_id)
    assert store.current() is old
    assert "ranker_tables" in store.problem
    with pytest.raises(BundleError):
        store.activate(new_id)
    assert store.current() is old


def test_activating_replaces_the_model_at_once(directory: Path) -> None:
    store = ModelStore(directory, RuntimeOptions())
    old = store.current()
    new_id = second_bundle(directory)
    store.activate(new_id)
    new = store.current()
    assert new is not old
    assert new is not None
    assert new.bundle_id == new_id
    assert (directory / "bundles" / "previous").read_text().strip() == old.bundle_id  # type: ignore[union-attr]


def test_settings_that_contradict_each_other_are_refused_when_the_feed_opens(
    tmp_path: Path,
) -> None:
    from xfeed.errors import ConfigError

    with pytest.raises(ConfigError) as caught:
        Feed.open(tmp_path, config={"model": {"engine": "native", "device": "cuda"}})
    assert caught.value.code == "bad_device"


def test_pages_of_other_precisions_are_made_and_nearly_the_same(fitted_dir: Path) -> None:
    orders = {}
    for dtype in ("float32", "bfloat16", "int8"):
        with Feed.open(fitted_dir, mode="read", config={"model": {"dtype": dtype}}) as feed:
            page = feed.for_you(1)
            assert page.mode == "model"
            assert page.degraded == []
            orders[dtype] = [item.post_id for item in page]
    for dtype in ("bfloat16", "int8"):
        assert len(set(orders[dtype]) & set(orders["float32"])) >= 17
    assert replace(RuntimeOptions(), dtype="int8").chosen_engine == "native"
