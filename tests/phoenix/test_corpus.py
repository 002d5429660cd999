"""Corpus and example history of a checkpoint arrive in the bundle, or are refused by name."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xfeed.errors import BundleError
from xfeed.phoenix.bundles.corpus import read_corpus
from xfeed.phoenix.bundles.read import read_bundle
from xfeed.phoenix.published import corpus as corpus_module
from xfeed.phoenix.published import npz
from xfeed.phoenix.published.checkpoint import import_checkpoint
from xfeed.phoenix.published.corpus import published_corpus
from xfeed.phoenix.published.sequence import read_sequence

from tests.phoenix.bundles import change_tensors
from tests.phoenix.bundles import refusal as refuse_bundle
from tests.phoenix.checkpoints import N_POSTS, change_arrays, make_checkpoint, refusal


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "source")


def test_corpus_and_history_come_along(source: Path, tmp_path: Path) -> None:
    report = import_checkpoint(source, tmp_path / "bundle")
    corpus = read_corpus(tmp_path / "bundle" / "corpus.safetensors")
    with np.load(source / "sports_corpus.npz") as theirs:
        np.testing.assert_array_equal(corpus.post_ids, theirs["post_ids"].astype(np.uint64))
        np.testing.assert_array_equal(corpus.author_ids, theirs["author_ids"].astype(np.uint64))
        np.testing.assert_array_equal(corpus.vectors, theirs["candidate_representations"])
        assert [corpus.topic(row) for row in range(N_POSTS)] == theirs["topics"].tolist()
    assert (len(corpus), report.corpus_posts, report.has_sequence) == (N_POSTS, N_POSTS, True)
    sequence = read_sequence(tmp_path / "bundle" / "example_sequence.json")
    assert (sequence.viewer_id, len(sequence), sequence.actions[0]) == (77, 8, {1: 1.0, 25: 1.0})


@pytest.mark.parametrize(
    ("name", "values", "code"),
    [
        ("post_ids", np.zeros(3, np.uint64), "wrong_shape"),
        ("post_ids", np.uint64(3), "wrong_shape"),
        ("author_ids", np.zeros(N_POSTS, np.int64), "wrong_shape"),
        ("vectors", np.zeros((N_POSTS, 3), np.float32), "wrong_shape"),
        ("vectors", np.zeros(N_POSTS, np.float32), "wrong_shape"),
        ("vectors", np.full((N_POSTS, 16), np.nan, np.float32), "not_finite"),
        ("topics", np.zeros(N_POSTS, np.float32), "wrong_shape"),
        ("topic_names", None, "wrong_tensors"),
        ("more", np.zeros(1, np.float32), "wrong_tensors"),
    ],
)
def test_a_corpus_of_another_shape_is_refused_by_name(
    source: Path, tmp_path: Path, name: str, values: Any, code: str
) -> None:
    import_checkpoint(source, tmp_path / "bundle")

    def change(tensors: dict[str, Any]) -> None:
        tensors[name] = values if values is None else np.asarray(values)
        if values is None:
            del tensors[name]

    change_tensors(tmp_path / "bundle", "corpus.safetensors", change)
    error = refuse_bundle(tmp_path / "bundle")
    assert (error.code, name in str(error)) == (code, True), str(error)


def test_topics_keep_their_numbers_however_they_are_read(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [import_checkpoint(source, tmp_path / "whole").bundle_id]
    # "nba" and "nfl" have three characters of four bytes
    monkeypatch.setattr(npz, "WHOLE_BLOCK_BYTES", 3 * 4 * 7)
    ids.append(import_checkpoint(source, tmp_path / "parts").bundle_id)
    assert ids[0] == ids[1]
    assert read_corpus(tmp_path / "parts" / "corpus.safetensors").topic_names == ("nba", "nfl")


@pytest.mark.parametrize("code", [0x110000, 0xFFFFFFFF, 0xD800, 0xDFFF])
def test_topics_that_are_no_text_are_refused(source: Path, tmp_path: Path, code: int) -> None:
    topics = np.array(["some"] * N_POSTS)
    topics.view(np.uint32)[4 * 5 + 2] = code
    change_arrays(source / "sports_corpus.npz", lambda arrays: arrays.update(topics=topics))
    error = refusal(source, tmp_path / "bundle")
    assert error.code == "bad_value"
    assert f"{code:#x}" in str(error)
    assert "row `5`" in str(error)


@pytest.mark.parametrize(
    ("limit", "value"), [("MAX_TOPIC_NAMES", 1), ("MAX_TOPIC_CHARS", 5), ("MAX_POSTS", N_POSTS - 1)]
)
def test_a_corpus_that_could_not_be_read_again_is_not_imported(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(corpus_module, limit, value + 1)
    import_checkpoint(source, tmp_path / "good")
    monkeypatch.setattr(corpus_module, limit, value)
    assert refusal(source, tmp_path / "bundle").code == "too_large"


def test_a_few_names_for_many_posts_take_little_memory(tmp_path: Path) -> None:
    n_posts, path = 200_000, tmp_path / "sports_corpus.npz"
    np.savez_compressed(
        path,
        post_ids=np.arange(n_posts),
        author_ids=np.zeros(n_posts, np.int64),
        candidate_representations=np.zeros((n_posts, 1), np.float32),
        topics=np.array(["a" * 200, "b"])[np.arange(n_posts) % 2],
    )
    tracemalloc.start()
    try:
        published_corpus(path, 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # as a whole the topics have 160 MB
    assert peak < 60e6


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b'["a"]', b"\xff", rb'["\ud800", "b"]'])
def test_topics_without_names_are_refused(source: Path, tmp_path: Path, text: bytes) -> None:
    import_checkpoint(source, tmp_path / "bundle")
    names = {"topic_names": np.frombuffer(text, np.uint8)}
    change_tensors(tmp_path / "bundle", "corpus.safetensors", lambda t: t.update(names))
    with pytest.raises(BundleError) as caught:
        read_corpus(tmp_path / "bundle" / "corpus.safetensors")
    assert caught.value.code in {"bad_file", "bad_row"}


def test_a_checkpoint_without_corpus_topics_or_history_is_fine(
    source: Path, tmp_path: Path
) -> None:
    (source / "example_sequence.json").unlink()
    change_arrays(source / "sports_corpus.npz", lambda arrays: arrays.pop("topics"))
    import_checkpoint(source, tmp_path / "a")
    corpus = read_corpus(tmp_path / "a" / "corpus.safetensors")
    assert (corpus.topics, corpus.topic(0)) == (None, "")
    (source / "sports_corpus.npz").unlink()
    report = import_checkpoint(source, tmp_path / "b")
    assert (report.corpus_posts, report.has_sequence) == (0, False)
    assert len(read_bundle(tmp_path / "b").files) == 4


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"user_id": 1, "history": 3}',
        '{"user_id": 1.5, "history": []}',
        '{"user_id": 18446744073709551616, "history": []}',
        '{"user_id": 1, "history": [3]}',
        '{"user_id": 1, "history": [{"post_id": 1}]}',
        '{"user_id": 1, "history": [{"post_id": 1, "author_id": 1, "actions": [1]}]}',
        '{"user_id": 1, "history": [{"post_id": 1, "author_id": 1, "actions": {"x": 1}}]}',
        '{"user_id": 1, "history": [{"post_id": 1, "author_id": 1, "actions": {"1": "y"}}]}',
        '{"user_id": 1, "history": [{"post_id": 1, "author_id": 1, "actions": {"1": 1e999}}]}',
    ],
)
def test_a_history_of_another_shape_is_refused(source: Path, tmp_path: Path, text: str) -> None:
    (source / "example_sequence.json").write_text(text)
    assert refusal(source, tmp_path / "bundle").code == "bad_sequence"


def test_ids_may_be_text_or_negative(tmp_path: Path) -> None:
    item = {"post_id": str(2**64 - 1), "author_id": -1, "actions": {}}
    (tmp_path / "s.json").write_text(json.dumps({"user_id": 2**63, "history": [item]}))
    sequence = read_sequence(tmp_path / "s.json")
    assert sequence.post_ids.tolist() == sequence.author_ids.tolist() == [2**64 - 1]
    assert sequence.viewer_id == 2**63
