"""The released pipeline on imported models: exact search, chunks or one pass, sorted lists."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from xfeed.conformance.phoenix_pipeline import checkpoint
from xfeed.errors import BundleError
from xfeed.phoenix.bundles.corpus import Corpus, read_corpus
from xfeed.phoenix.bundles.read import Bundle, read_bundle
from xfeed.phoenix.published.checkpoint import import_checkpoint
from xfeed.phoenix.published.pipeline import PublishedPipeline
from xfeed.phoenix.published.sequence import Sequence, read_sequence

from tests.phoenix.checkpoints import N_POSTS, change_arrays, make_checkpoint
from tests.shared_data import shared_path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("pipeline")
    import_checkpoint(make_checkpoint(folder / "source"), folder / "bundle")
    return read_bundle(folder / "bundle")


@pytest.fixture(scope="module")
def corpus(bundle: Bundle) -> Corpus:
    return read_corpus(bundle.directory / "corpus.safetensors")


@pytest.fixture(scope="module")
def sequence(bundle: Bundle) -> Sequence:
    return read_sequence(bundle.directory / "example_sequence.json")


@pytest.fixture(scope="module")
def pipeline(bundle: Bundle) -> PublishedPipeline:
    return PublishedPipeline(bundle, torch.float64)


@pytest.mark.parametrize("top_k", [1, 7, N_POSTS - 1, N_POSTS, N_POSTS + 1])
def test_the_nearest_posts_come_best_first(
    pipeline: PublishedPipeline, corpus: Corpus, sequence: Sequence, top_k: int
) -> None:
    scores = corpus.vectors @ pipeline.user_vector(sequence)
    found = pipeline.retrieve(corpus, sequence, top_k=top_k)
    expected = np.argsort(-scores, kind="stable")[:top_k]
    np.testing.assert_array_equal(found.rows, expected)
    np.testing.assert_allclose(found.scores, scores[expected], atol=1e-6)


def test_equal_scores_come_in_the_order_of_the_corpus(
    pipeline: PublishedPipeline, corpus: Corpus, sequence: Sequence
) -> None:
    same = replace(corpus, vectors=np.repeat(corpus.vectors[:1], N_POSTS, axis=0))
    assert pipeline.retrieve(same, sequence, top_k=5).rows.tolist() == [0, 1, 2, 3, 4]


def test_an_empty_corpus_gives_an_empty_list(
    pipeline: PublishedPipeline, corpus: Corpus, sequence: Sequence
) -> None:
    empty = Corpus(corpus.post_ids[:0], corpus.author_ids[:0], corpus.vectors[:0], None, ())
    ranked = pipeline.run(empty, sequence)
    assert (len(ranked.order), ranked.probabilities.shape) == (0, (0, 19))


def test_the_release_reads_the_first_positions_and_ours_the_newest(
    pipeline: PublishedPipeline, sequence: Sequence
) -> None:
    first, last = sequence.take(slice(0, 5)), sequence.take(slice(-5, None))
    np.testing.assert_array_equal(pipeline.user_vector(sequence), pipeline.user_vector(first))
    newest = pipeline.user_vector(sequence, newest=True)
    np.testing.assert_array_equal(newest, pipeline.user_vector(last))
    assert np.abs(newest - pipeline.user_vector(sequence)).max() > 1e-3


def test_in_the_release_a_score_follows_the_slot_and_in_one_pass_it_does_not(
    pipeline: PublishedPipeline, corpus: Corpus, sequence: Sequence
) -> None:
    posts, authors = corpus.post_ids[:7], corpus.author_ids[:7]
    back = np.arange(7)[::-1].copy()
    published = pipeline.rank(posts, authors, sequence)
    moved = pipeline.rank(posts[back], authors[back], sequence)[back]
    assert np.abs(published - moved).max() > 1e-3
    # chunks of three: the fourth post stands where the first one stood
    alone = pipeline.rank(posts[3:4], authors[3:4], sequence)
    np.testing.assert_allclose(published[3:4], alone, atol=1e-6)
    one_pass = pipeline.rank(posts, authors, sequence, flow="one-pass")
    moved = pipeline.rank(posts[back], authors[back], sequence, flow="one-pass")[back]
    np.testing.assert_allclose(one_pass, moved, atol=1e-6)
    # the first slot is the same in both
    np.testing.assert_allclose(one_pass[::3], published[::3], atol=1e-6)


def test_the_list_is_sorted_by_the_published_weights(
    pipeline: PublishedPipeline, corpus: Corpus, sequence: Sequence, bundle: Bundle
) -> None:
    ranked = pipeline.run(corpus, sequence, top_k=9)
    column = bundle.actions.index
    weighted = (
        ranked.probabilities[:, column("favorite")]
        + 0.5 * ranked.probabilities[:, column("reply")]
        + 0.3 * ranked.probabilities[:, column("repost")]
        + 0.2 * ranked.probabilities[:, column("dwell")]
    )
    np.testing.assert_allclose(ranked.weighted, weighted, atol=1e-6)
    assert (np.diff(ranked.weighted[ranked.order]) <= 0).all()


def test_an_empty_history_and_an_unknown_viewer_give_an_answer(
    pipeline: PublishedPipeline, corpus: Corpus, sequence: Sequence
) -> None:
    nothing = sequence.take(slice(0, 0))
    assert np.isfinite(pipeline.run(corpus, nothing, top_k=3).weighted).all()
    nobody = replace(nothing, viewer_id=0)
    # nothing valid at all: the vector is zero, so every post scores the same
    assert pipeline.retrieve(corpus, nobody, top_k=3).rows.tolist() == [0, 1, 2]


def test_models_with_more_inputs_are_refused(bundle_dir: Path) -> None:
    with pytest.raises(BundleError) as caught:
        PublishedPipeline(read_bundle(bundle_dir))
    assert caught.value.code == "not_published"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("ranker/model_params.npz", "phoenix_model/unembeddings"),
        ("ranker/embedding_tables.npz", "author_embeddings"),
        ("retrieval/embedding_tables.npz", "item_embeddings"),
        ("sports_corpus.npz", "candidate_representations"),
        ("expected.npz", "f32/probs"),
        ("expected.npz", "bf16/final_post_ids"),
    ],
)
def test_the_check_of_the_golden_checkpoint_notices_changes(
    tmp_path: Path, file: str, name: str
) -> None:
    golden = shared_path("conformance", "phoenix", "pipeline_tiny")
    for path in golden.rglob("*.*"):
        target = tmp_path / path.relative_to(golden)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    change_arrays(tmp_path / file, lambda arrays: arrays.update({name: arrays[name] * 2}))
    assert not checkpoint(tmp_path)[0]
