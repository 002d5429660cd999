"""Checks of the released pipeline from a checkpoint folder to its sorted list."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from xfeed.conformance.phoenix_differences import Differences, Verdict
from xfeed.conformance.phoenix_files import Archive, read_archive
from xfeed.phoenix.bundles.corpus import read_corpus
from xfeed.phoenix.bundles.layout import CORPUS, SEQUENCE
from xfeed.phoenix.bundles.read import Bundle, read_bundle
from xfeed.phoenix.published.checkpoint import import_checkpoint
from xfeed.phoenix.published.pipeline import PublishedPipeline
from xfeed.phoenix.published.sequence import read_sequence

EXPECTED: Final = "expected.npz"


def checkpoint(path: Path) -> Verdict:
    """Imports a checkpoint folder and runs the pipeline in the dtypes of its expected output.

    Ranking is compared on the posts that the release retrieved, in its order, so that two posts
    that change places in retrieval do not hide a wrong prediction.
    """
    z = read_archive(path / EXPECTED)
    worst = Differences()
    with tempfile.TemporaryDirectory() as folder:
        import_checkpoint(path, Path(folder, "bundle"))
        bundle = read_bundle(Path(folder, "bundle"))
        for kind, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
            expected = {k.removeprefix(f"{kind}/"): z[k] for k in z if k.startswith(f"{kind}/")}
            _compare(worst, PublishedPipeline(bundle, dtype), bundle, expected, kind)
    return worst.verdict()


def _compare(
    worst: Differences, pipeline: PublishedPipeline, bundle: Bundle, z: Archive, kind: str
) -> None:
    """Compares one run, step by step."""
    corpus = read_corpus(bundle.directory / CORPUS)
    sequence = read_sequence(bundle.directory / SEQUENCE)
    top_k = len(z["retrieved_indices"])
    scores = pipeline.score_corpus(corpus, sequence)
    worst.note(f"unit_vectors_{kind}", scores, z["retrieval_scores"])
    found = pipeline.retrieve(corpus, sequence, top_k=top_k)
    worst.note(f"unit_vectors_{kind}", found.scores, z["retrieved_scores"])
    # posts whose scores differ by less than the noise may change places
    theirs = z["retrieved_indices"].astype(np.int64)
    worst.note(f"unit_vectors_{kind}", scores[theirs], found.scores)
    probabilities = pipeline.rank(corpus.post_ids[theirs], corpus.author_ids[theirs], sequence)
    worst.note(f"probabilities_{kind}", probabilities, z["probs"])
    weighted = pipeline.weigh(probabilities)
    worst.note(f"probabilities_{kind}", weighted, z["weighted"])
    order = z["final_order"].astype(np.int64)
    worst.note(f"probabilities_{kind}", weighted[order], np.sort(weighted)[::-1])
    listed = corpus.post_ids[theirs[order]].astype(np.int64)
    worst.note("exact", (listed != z["final_post_ids"]).astype(np.float64), np.zeros(top_k))
    if kind == "f32":
        worst.note("logits_f32", _logits(probabilities), _logits(z["probs"]))
        ranked = pipeline.run(corpus, sequence, top_k=top_k)
        wrong = corpus.post_ids[ranked.retrieved.rows[ranked.order]] != z["final_post_ids"]
        worst.note("exact", wrong.astype(np.float64), np.zeros(top_k))


def _logits(probabilities: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Log-odds of probabilities; not finite where there are none."""
    p = probabilities.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        odds: npt.NDArray[np.float64] = np.log(p) - np.log1p(-p)
    return odds


GOLDEN: Final[dict[str, Callable[[Path], Verdict]]] = {"pipeline_tiny": checkpoint}
"""The check of each checkpoint folder, by its name."""
