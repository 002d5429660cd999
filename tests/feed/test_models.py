"""Which model serves, and what happens while another one takes its place."""

import contextlib
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


def test_pages_are_made_while_a_new_model_is_loaded(
    fitted_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "copy"
    shutil.copytree(fitted_dir, directory, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    loading, go_on = threading.Event(), threading.Event()
    load = Phoenix.load

    def slow(*arguments: Any) -> Phoenix:
        loading.set()
        assert go_on.wait(WAIT_SECS)
        return load(*arguments)

    with Feed.open(directory) as feed:
        old_id = feed.for_you(1).receipt.bundle_id
        new_id = second_bundle(directory)
        (directory / "bundles" / "active").write_text(new_id)
        monkeypatch.setattr(Phoenix, "load", slow)
        served: list[str] = []
        first = threading.Thread(target=lambda: served.append(feed.for_you(1).receipt.bundle_id))
        first.start()
        assert loading.wait(WAIT_SECS)
        others = threading.Thread(target=lambda: served.append(feed.for_you(2).receipt.bundle_id))
        others.start()
        others.join(WAIT_SECS)
        in_time = list(served)
        go_on.set()
        first.join(WAIT_SECS)
        others.join(WAIT_SECS)
        assert in_time == [old_id]
        assert served == [old_id, new_id]
        assert feed.for_you(2).receipt.bundle_id == new_id


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


def unfinished(directory: Path) -> list[Path]:
    """What a killed fit and a killed import leave behind."""
    bundles = directory / "bundles"
    left = [bundles / "new-abc", bundles / ".new-abc.0123.tmp"]
    for path in left:
        path.mkdir()
        (path / "ranker_tables.safetensors").write_bytes(b"gigabytes")
    return left


def test_opening_for_writing_removes_what_killed_fits_left(directory: Path, tmp_path: Path) -> None:
    with Feed.open(directory):
        pass
    kept = sorted((directory / "bundles").iterdir())
    left = unfinished(directory)
    with Feed.open(directory, mode="read"):
        # another process may be at work on it
        assert all(path.exists() for path in left)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").touch()
    link = directory / "bundles" / "new-link"
    link.symlink_to(outside)
    with Feed.open(directory):
        assert sorted((directory / "bundles").iterdir()) == sorted([*kept, link])
    assert (outside / "mine").exists()


def test_a_new_bundle_has_a_place_that_is_left_clean(tmp_path: Path) -> None:
    store = ModelStore(tmp_path, RuntimeOptions())
    with store.place_for_new():
        left = unfinished(tmp_path)
    with store.place_for_new() as place:
        assert not any(path.exists() for path in left)
        (place / "half").touch()
        assert [*store.directory.iterdir()] == [place]
    with contextlib.suppress(KeyError), store.place_for_new() as place:
        (place / "half").touch()
        raise KeyError
    assert [*store.directory.iterdir()] == []


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
