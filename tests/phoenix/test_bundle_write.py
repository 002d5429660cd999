"""What is written as a bundle is checked first, streamed, and there as a whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
from xfeed.actions import N_DISCRETE
from xfeed.errors import BundleError
from xfeed.phoenix.bundles import write as bundle_write
from xfeed.phoenix.bundles.read import ModelParts, read_bundle, write_bundle
from xfeed.phoenix.bundles.table_streams import TableDtype, TableSource
from xfeed.phoenix.config import TrainConfig
from xfeed.phoenix.runtime import Phoenix

from tests.phoenix.bundles import TABLES, change_tensors, parts_of, refusal, with_value
from tests.phoenix.worlds import World, small_fit


def test_a_bundle_is_never_written_over(bundle_dir: Path, world: World) -> None:
    before = (bundle_dir / "manifest.json").read_bytes()
    with pytest.raises(BundleError, match="exists already"):
        small_fit(bundle_dir, world)
    assert (bundle_dir / "manifest.json").read_bytes() == before


def test_the_same_models_give_the_same_bytes(bundle_dir: Path, tmp_path: Path) -> None:
    models = parts_of(read_bundle(bundle_dir))
    ids = {write_bundle(tmp_path / name, **models, metrics={}, log_offset=1) for name in ("a", "b")}
    assert len(ids) == 1


def test_tensors_that_are_not_finite_are_not_written(bundle_dir: Path, tmp_path: Path) -> None:
    bundle = read_bundle(bundle_dir)
    bad = {"model.out_norm": np.full(16, np.nan, dtype=np.float32)}
    table = bundle.retrieval_tables["item"].to_array()
    table[300, 2] = np.inf
    models = parts_of(bundle)
    models["retrieval"].tables["item"] = TableSource.of(table)
    for name, parts in (("out_norm", parts_of(bundle, ranker=bad)), ("table.item", models)):
        with pytest.raises(BundleError, match=name) as caught:
            write_bundle(tmp_path / "bad", **parts, train=TrainConfig(), metrics={}, log_offset=0)
        assert caught.value.code == "not_finite"
        assert list(tmp_path.iterdir()) == []


def test_models_that_are_not_what_their_configuration_says_are_not_written(
    bundle_dir: Path, tmp_path: Path
) -> None:
    bundle = read_bundle(bundle_dir)
    models = parts_of(bundle)
    del models["ranker"].tables["user"]
    for parts, code in (
        (parts_of(bundle, ranker={"model.more": np.ones(1, np.float32)}), "wrong_tensors"),
        (parts_of(bundle, ranker={"model.out_norm": np.ones(3, np.float32)}), "wrong_shape"),
        (models, "wrong_tensors"),
    ):
        with pytest.raises(BundleError) as caught:
            write_bundle(tmp_path / "bad", **parts, metrics={}, log_offset=0)
        assert caught.value.code == code
        assert list(tmp_path.iterdir()) == []


def test_heads_without_names_are_not_written(bundle_dir: Path, tmp_path: Path) -> None:
    models = parts_of(read_bundle(bundle_dir))
    for actions in (("favorite",), ("favorite",) * 24, tuple("0123456789abcdefghijklmn")):
        with pytest.raises(BundleError) as caught:
            write_bundle(
                tmp_path / "bad",
                **models,
                metrics={},
                log_offset=0,
                origin="published-import",
                actions=actions,
            )
        assert caught.value.code == "other_actions"


def test_a_bundle_that_does_not_fit_on_the_disk_is_not_begun(
    bundle_dir: Path, tmp_path: Path
) -> None:
    bundle = read_bundle(bundle_dir)
    models = parts_of(bundle)
    huge = 2**58
    config = bundle.config.from_json(
        bundle.config.to_json() | {"item": bundle.config.to_json()["item"] | {"n_rows": huge}}
    )
    tables = dict(models["ranker"].tables)
    tables["item"] = TableSource(huge, config.table_width, lambda: ())
    models["ranker"] = ModelParts(config, models["ranker"].parameters, tables)
    with pytest.raises(BundleError, match="free") as caught:
        write_bundle(tmp_path / "bad", **models, metrics={}, log_offset=0)
    assert caught.value.code == "no_space"
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_nothing_behind(
    bundle_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = read_bundle(bundle_dir)

    def full(_: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(bundle_write, "sync_directory", full)
    with pytest.raises(OSError, match="no space"):
        write_bundle(tmp_path / "new", **parts_of(bundle), metrics={}, log_offset=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8"])
def test_tables_of_every_dtype_come_back(
    bundle_dir: Path, tmp_path: Path, dtype: TableDtype
) -> None:
    bundle = read_bundle(bundle_dir)
    write_bundle(tmp_path / "b", **parts_of(bundle), metrics={}, log_offset=0, table_dtype=dtype)
    back = read_bundle(tmp_path / "b")
    for name, table in back.ranker_tables.items():
        exact = bundle.ranker_tables[name].to_array()
        got = table.to_array()
        assert table.dtype == dtype
        if dtype == "int8":
            scale = np.abs(exact).max(axis=1, keepdims=True) / 127
            assert (np.abs(got - exact) <= scale / 2 * (1 + 1e-5)).all()
        else:
            bits = {"float32": 24, "float16": 11, "bfloat16": 8}[dtype]
            assert (np.abs(got - exact) <= np.abs(exact) * 2.0**-bits + 2.0**-25).all()
        assert (got != 0).any()


def test_a_scale_that_is_not_finite_is_refused(bundle_dir: Path, tmp_path: Path) -> None:
    bundle = read_bundle(bundle_dir)
    write_bundle(tmp_path / "b", **parts_of(bundle), metrics={}, log_offset=0, table_dtype="int8")
    change_tensors(tmp_path / "b", TABLES, with_value("table.user.scale", np.nan))
    error = refusal(tmp_path / "b")
    assert (error.code, "table.user" in str(error)) == ("not_finite", True)


@pytest.mark.parametrize(
    ("dtype", "value", "fitting"),
    [("float16", 1e6, "bfloat16"), ("bfloat16", 3.4e38, "float32"), ("int8", 3.4e38, "float32")],
)
def test_values_that_do_not_fit_are_refused(
    bundle_dir: Path, tmp_path: Path, dtype: TableDtype, value: float, fitting: TableDtype
) -> None:
    models = parts_of(read_bundle(bundle_dir))
    table = np.zeros((257, 8), np.float32)
    table[9, 1] = value
    models["ranker"].tables["user"] = TableSource.of(table)
    with pytest.raises(BundleError, match=r"row `9` of tensor `table\.user") as caught:
        write_bundle(tmp_path / "b", **models, metrics={}, log_offset=0, table_dtype=dtype)
    assert caught.value.code == "out_of_range"
    write_bundle(tmp_path / "c", **models, metrics={}, log_offset=0, table_dtype=fitting)
    assert read_bundle(tmp_path / "c").ranker_tables["user"].first_not_finite() is None


@pytest.mark.parametrize(
    ("dtype", "allowed"), [("float16", 1e-4), ("bfloat16", 1e-3), ("int8", 5e-3)]
)
def test_smaller_tables_change_predictions_a_little(
    bundle_dir: Path, tmp_path: Path, world: World, dtype: TableDtype, allowed: float
) -> None:
    write_bundle(
        tmp_path / "b",
        **parts_of(read_bundle(bundle_dir)),
        metrics={},
        log_offset=0,
        table_dtype=dtype,
    )
    rows = world.interactions.take(world.interactions.viewer_key == np.uint64(3))
    now_ms = int(world.interactions.at_ms.max()) + 1
    exact, small = (
        Phoenix.load(path).predict(3, rows, world.posts, world.posts, 1, now_ms)[:, :N_DISCRETE]
        for path in (bundle_dir, tmp_path / "b")
    )
    assert 0 < np.abs(exact - small).max() < allowed
