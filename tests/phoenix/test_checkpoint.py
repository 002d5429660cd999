"""A published checkpoint becomes a bundle exactly, or is refused by the name of what is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from xfeed.errors import BundleError
from xfeed.phoenix.bundles.read import read_bundle
from xfeed.phoenix.config import MAX_HISTORY_LEN
from xfeed.phoenix.published.checkpoint import import_checkpoint, is_checkpoint
from xfeed.phoenix.published.may import DEMO_ORDER, published_actions, published_number

from tests.phoenix.checkpoints import (
    CONFIG,
    N_POSTS,
    Arrays,
    change_arrays,
    change_config,
    make_checkpoint,
    refusal,
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "source")


@pytest.mark.parametrize("compressed", [True, False])
def test_every_number_arrives(tmp_path: Path, compressed: bool) -> None:
    source = make_checkpoint(tmp_path / "source", compressed=compressed)
    report = import_checkpoint(source, tmp_path / "bundle")
    bundle = read_bundle(tmp_path / "bundle")
    assert bundle.id == report.bundle_id
    for kind in ("ranker", "retrieval"):
        with np.load(source / kind / "embedding_tables.npz") as theirs:
            for name, table in getattr(bundle, f"{kind}_tables").items():
                np.testing.assert_array_equal(table.to_array(), theirs[f"{name}_embeddings"])
        with np.load(source / kind / "model_params.npz") as theirs:
            wanted = {name: theirs[name] for name in theirs.files if name != "~/log_temperature"}
        ours = load_file(tmp_path / "bundle" / f"{kind}.safetensors")
        assert sum(values.size for values in wanted.values()) == report.n_parameters[kind]
        assert sorted(v.tobytes() for v in ours.values()) == sorted(
            v.tobytes() for v in wanted.values()
        )
    assert bundle.notes == {"candidate_len": 3, "ignored": []}
    assert (bundle.origin, report.ignored) == ("published-import", ())
    assert bundle.config.n_continuous == 8
    assert bundle.config.author.n_functions == 1


def test_columns_are_named_by_published_number_never_by_the_demo_list(
    source: Path, tmp_path: Path
) -> None:
    import_checkpoint(source, tmp_path / "bundle")
    actions = read_bundle(tmp_path / "bundle").actions
    assert [actions[i] for i in (0, 1, 4, 5, 6, 11, 13, 17)] == [
        *("0", "favorite", "reply", "quote", "repost", "dwell"),
        *("video_quality_view", "not_interested"),
    ]
    assert [published_number(name) for name in actions] == list(range(19))
    assert len(DEMO_ORDER) == len(actions) == len(published_actions(19))
    assert actions[: len(DEMO_ORDER)] != DEMO_ORDER


def test_what_nothing_reads_is_reported(source: Path, tmp_path: Path) -> None:
    change_config(source / "ranker" / "config.json", model_name="mini")
    more = {"extra": np.ones(2, np.float32)}
    change_arrays(source / "retrieval" / "model_params.npz", lambda arrays: arrays.update(more))
    change_arrays(source / "ranker" / "embedding_tables.npz", lambda arrays: arrays.update(more))
    report = import_checkpoint(source, tmp_path / "bundle")
    assert report.ignored == (
        "ranker/config.json: model_name",
        "ranker/embedding_tables.npz: extra",
        "retrieval/model_params.npz: extra",
    )


def test_sizes_that_the_release_may_leave_out_have_its_defaults(
    source: Path, tmp_path: Path
) -> None:
    assert not {"product_surface_vocab_size", "post_age_granularity_mins"} & set(CONFIG)
    import_checkpoint(source, tmp_path / "bundle")
    config = read_bundle(tmp_path / "bundle").config
    assert (config.n_surfaces, config.n_post_ages) == (16, 82)


PARAMETER = "phoenix_model/proj_mat_1"


def _set(name: str, value: Any) -> Callable[[Arrays], Any]:
    return lambda arrays: arrays.update({name: value})


def _spoil(name: str, value: float) -> Callable[[Arrays], Any]:
    def change(arrays: Arrays) -> None:
        arrays[name][-1, -1] = value

    return change


TABLES, PARAMETERS = "ranker/embedding_tables.npz", "ranker/model_params.npz"
CORPUS, VECTORS = "sports_corpus.npz", "candidate_representations"
ROWS = "item_embeddings"
SMALL = np.zeros((3, 3), np.float32)


@pytest.mark.parametrize(
    ("file", "change", "code", "named"),
    [
        (PARAMETERS, lambda a: a.pop(PARAMETER), "missing_tensor", PARAMETER),
        (PARAMETERS, _set(PARAMETER, SMALL), "wrong_shape", PARAMETER),
        (PARAMETERS, _set(PARAMETER, np.zeros((32, 16))), "wrong_shape", PARAMETER),
        (PARAMETERS, _spoil(PARAMETER, np.nan), "not_finite", PARAMETER),
        (PARAMETERS, _spoil(PARAMETER, -np.inf), "not_finite", PARAMETER),
        (PARAMETERS, _set(PARAMETER, np.array([{}])), "objects", PARAMETER),
        (PARAMETERS, _set("more", np.array([{}])), "objects", "more"),
        (TABLES, lambda a: a.pop(ROWS), "missing_tensor", ROWS),
        (TABLES, _set(ROWS, SMALL), "wrong_shape", ROWS),
        (TABLES, _set(ROWS, np.zeros((70, 16), np.float16)), "wrong_shape", ROWS),
        (TABLES, _set(ROWS, np.zeros((70, 16), np.int32)), "wrong_shape", ROWS),
        (TABLES, _set(ROWS, np.zeros((70, 16), np.float32, order="F")), "wrong_order", ROWS),
        (TABLES, _spoil(ROWS, np.nan), "not_finite", "table.item"),
        (TABLES, _spoil("author_embeddings", np.inf), "not_finite", "table.author"),
        (CORPUS, lambda a: a.pop("post_ids"), "missing_tensor", "post_ids"),
        (CORPUS, _set("author_ids", np.zeros(3, np.int64)), "wrong_shape", "author_ids"),
        (CORPUS, _set("post_ids", np.zeros(N_POSTS)), "wrong_shape", "post_ids"),
        (CORPUS, _set(VECTORS, SMALL), "wrong_shape", VECTORS),
        (CORPUS, _spoil(VECTORS, np.nan), "not_finite", VECTORS),
        (CORPUS, _set("topics", np.array([{}] * N_POSTS)), "objects", "topics"),
        (CORPUS, _set("topics", np.zeros(N_POSTS, np.int64)), "wrong_shape", "topics"),
    ],
)
def test_wrong_arrays_are_refused_by_name(
    source: Path, tmp_path: Path, file: str, change: Callable[[Arrays], Any], code: str, named: str
) -> None:
    change_arrays(source / file, change)
    error = refusal(source, tmp_path / "bundle")
    assert (error.code, named in str(error)) == (code, True), str(error)


@pytest.mark.parametrize("key", [*CONFIG, "hash_params.user_biases", "hash_params.item_modulus"])
def test_a_missing_key_is_refused_by_name(source: Path, tmp_path: Path, key: str) -> None:
    path = source / "retrieval" / "config.json"
    outer, _, inner = key.partition(".")
    if inner:
        constants = {k: v for k, v in CONFIG[outer].items() if k != inner}
        change_config(path, **{outer: constants})
    else:
        change_config(path, **{outer: None})
    error = refusal(source, tmp_path / "bundle")
    assert (error.code, key.rpartition(".")[2] in str(error)) == ("missing_key", True)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"emb_size": 0}, "bad_value"),
        ({"emb_size": -16}, "bad_value"),
        ({"emb_size": "16"}, "bad_value"),
        ({"emb_size": 16.0}, "bad_value"),
        ({"emb_size": True}, "bad_value"),
        ({"num_layers": 2**40}, "bad_value"),
        ({"user_vocab_size": 1}, "bad_config"),
        ({"history_seq_len": 20_000_000}, "bad_value"),
        ({"history_seq_len": MAX_HISTORY_LEN + 1}, "bad_value"),
        ({"candidate_seq_len": 2_000_000_000}, "bad_value"),
        ({"key_size": 3}, "bad_config"),
        ({"emb_size": 24}, "wrong_shape"),
        ({"num_layers": 2}, "missing_tensor"),
        ({"item_vocab_size": 2**31 - 1}, "wrong_shape"),
        ({"num_item_hashes": 3}, "bad_value"),
        ({"hash_params": []}, "missing_key"),
        ({"hash_params": CONFIG["hash_params"] | {"user_modulus": 0}}, "bad_value"),
        ({"hash_params": CONFIG["hash_params"] | {"user_biases": [1, 2**64]}}, "bad_value"),
        ({"hash_params": CONFIG["hash_params"] | {"user_biases": [1, 0.5]}}, "bad_value"),
    ],
)
def test_a_wrong_configuration_is_refused(
    source: Path, tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    change_config(source / "ranker" / "config.json", **changes)
    error = refusal(source, tmp_path / "bundle")
    assert (error.code, "ranker/" in str(error)) == (code, True), str(error)


def test_more_layers_than_anybody_has_are_refused_without_building_them(
    source: Path, tmp_path: Path
) -> None:
    change_config(source / "ranker" / "config.json", num_layers=2**31 - 1)
    assert refusal(source, tmp_path / "bundle").code == "bad_config"


def test_a_width_that_no_machine_could_hold_is_refused(source: Path, tmp_path: Path) -> None:
    change_config(source / "ranker" / "config.json", emb_size=2**31 - 1, key_size=2**30)
    assert refusal(source, tmp_path / "bundle").code in {"bad_config", "wrong_shape"}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"emb_size": 1, "emb_size": 2}', '{"a": NaN}'])
def test_a_configuration_that_is_no_json_object_is_refused(
    source: Path, tmp_path: Path, text: str
) -> None:
    (source / "ranker" / "config.json").write_text(text)
    assert refusal(source, tmp_path / "bundle").code == "bad_config"


@pytest.mark.parametrize("file", [PARAMETERS, TABLES, "retrieval/config.json"])
def test_a_missing_file_is_refused(source: Path, tmp_path: Path, file: str) -> None:
    (source / file).unlink()
    error = refusal(source, tmp_path / "bundle")
    assert (error.code, Path(file).name in str(error)) == ("missing_file", True)


@pytest.mark.parametrize("file", [PARAMETERS, TABLES, CORPUS])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_cut_archive_is_refused(source: Path, tmp_path: Path, file: str, share: float) -> None:
    content = (source / file).read_bytes()
    (source / file).write_bytes(content[: int(len(content) * share)])
    error = refusal(source, tmp_path / "bundle")
    assert (error.code, Path(file).name in str(error)) == ("bad_file", True)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("file", [PARAMETERS, TABLES, CORPUS])
def test_altered_values_in_an_archive_are_noticed(
    tmp_path: Path, file: str, compressed: bool
) -> None:
    source = make_checkpoint(tmp_path / "source", compressed=compressed)
    content = bytearray((source / file).read_bytes())
    content[len(content) // 3] ^= 4
    (source / file).write_bytes(content)
    assert refusal(source, tmp_path / "bundle").code in {"bad_file", "wrong_shape"}


def test_only_a_checkpoint_looks_like_one(source: Path, tmp_path: Path) -> None:
    assert is_checkpoint(source)
    import_checkpoint(source, tmp_path / "bundle")
    assert not is_checkpoint(tmp_path / "bundle")
    assert not is_checkpoint(tmp_path / "nothing")
    assert refusal(tmp_path / "nothing", tmp_path / "b").code == "missing_file"


def test_a_place_that_is_taken_is_refused(source: Path, tmp_path: Path) -> None:
    import_checkpoint(source, tmp_path / "bundle")
    with pytest.raises(BundleError) as caught:
        import_checkpoint(source, tmp_path / "bundle")
    assert caught.value.code == "exists"


def test_importing_twice_gives_the_same_bundle(source: Path, tmp_path: Path) -> None:
    ids = {import_checkpoint(source, tmp_path / name).bundle_id for name in "ab"}
    assert len(ids) == 1
