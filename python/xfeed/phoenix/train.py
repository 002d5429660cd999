"""Fits both models on a log's columns and writes them as one bundle.

The models are small, so two threads inside each operation would mostly wait for each other, and
for whatever else the machine does. Instead each model is trained on a thread of its own, with
one thread per operation: it keeps two cores busy, suffers little from other load, and its result
does not depend on the number of cores.
"""

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xfeed.phoenix.batch import InteractionColumns, PostColumns
from xfeed.phoenix.bundle import check_free, gather_tensors, write_bundle
from xfeed.phoenix.config import PhoenixConfig, TrainConfig
from xfeed.phoenix.evaluate import (
    RankerReport,
    RetrievalReport,
    evaluate_ranker,
    evaluate_retrieval,
)
from xfeed.phoenix.examples import Examples
from xfeed.phoenix.optimize import ProgressCallback
from xfeed.phoenix.parallel import side_by_side
from xfeed.phoenix.train_ranker import TrainedRanker, train_ranker
from xfeed.phoenix.train_retrieval import TrainedRetrieval, train_retrieval


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """How the training of one model went.

    Attributes:
        n_steps: steps taken or skipped.
        n_skipped: steps skipped because a gradient was not finite.
        loss: mean loss of the last tenth of the steps; None without a step or if it was not
            finite.
    """

    n_steps: int
    n_skipped: int
    loss: float | None


@dataclass(frozen=True, slots=True)
class FitReport:
    """What a fit did and measured.

    Attributes:
        bundle_id: id of the written bundle.
        posts: posts in the table.
        training_impressions: impressions before the cut-off.
        held_out_impressions: impressions from the cut-off on.
        cutoff_ms: the cut-off; None if nothing was held out.
        ranker_training: how the ranker's training went.
        retrieval_training: how the towers' training went.
        ranker: the ranker on the held-out impressions.
        retrieval: the towers on the held-out positives.
        seconds: time the fit took.
    """

    bundle_id: str
    posts: int
    training_impressions: int
    held_out_impressions: int
    cutoff_ms: int | None
    ranker_training: TrainingReport
    retrieval_training: TrainingReport
    ranker: RankerReport
    retrieval: RetrievalReport
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def fit(
    posts: PostColumns,
    interactions: InteractionColumns,
    phoenix_config: PhoenixConfig,
    train_config: TrainConfig,
    progress: ProgressCallback,
    out_dir: Path | str,
    *,
    log_offset: int = 0,
) -> FitReport:
    """Trains, evaluates on the newest impressions and writes a bundle.

    The same columns, configurations and seed give the same bytes on the same machine.

    Args:
        posts: every post.
        interactions: everything viewers saw or did.
        phoenix_config: shape of the models.
        train_config: how to train.
        progress: called after each step, from the training threads but never from two at once;
            what it raises ends the fit.
        out_dir: directory of the bundle; must not exist yet, or be empty.
        log_offset: last event of the log that the columns hold; kept in the bundle.

    Returns:
        What was done and measured.

    Raises:
        BundleError: the directory is taken, or training ended with values that are not finite;
            nothing is written then.
        ConfigError: there is nothing to train on.
    """
    started = time.perf_counter()
    directory = Path(out_dir)
    check_free(directory)
    examples = Examples.split(interactions, train_config.held_out_fraction)
    limit = train_config.max_evaluation_impressions

    def make_ranker(report: ProgressCallback) -> tuple[TrainedRanker, RankerReport]:
        trained = train_ranker(posts, examples, phoenix_config, train_config, report)
        return trained, evaluate_ranker(trained, posts, examples, limit, report)

    def make_retrieval(report: ProgressCallback) -> tuple[TrainedRetrieval, RetrievalReport]:
        trained = train_retrieval(posts, examples, phoenix_config, train_config, report)
        return trained, evaluate_retrieval(trained, posts, examples, limit, report)

    (ranker, ranker_report), (retrieval, retrieval_report) = side_by_side(
        make_ranker, make_retrieval, progress
    )
    parts: dict[str, Any] = {
        "posts": len(posts),
        "training_impressions": len(examples.training),
        "held_out_impressions": len(examples.held_out),
        "cutoff_ms": examples.cutoff_ms if len(examples.held_out) else None,
        "ranker_training": _training_report(ranker),
        "retrieval_training": _training_report(retrieval),
        "ranker": ranker_report,
        "retrieval": retrieval_report,
    }
    report = FitReport(bundle_id="", seconds=0.0, **parts)
    metrics = {name: report.to_json()[name] for name in parts}
    bundle_id = write_bundle(
        directory,
        config=phoenix_config,
        train=train_config,
        ranker=_tensors(ranker),
        retrieval=_tensors(retrieval),
        metrics=metrics,
        log_offset=log_offset,
    )
    return FitReport(bundle_id=bundle_id, seconds=time.perf_counter() - started, **parts)


def _tensors(trained: TrainedRanker | TrainedRetrieval) -> Any:
    """A trained model's tensors under the names that bundles use."""
    tables = {name: table.rows for name, table in trained.tables.tables.items()}
    return gather_tensors(trained.model, tables)


def _training_report(trained: TrainedRanker | TrainedRetrieval) -> TrainingReport:
    """How training went, in plain values."""
    loss = trained.loss if math.isfinite(trained.loss) else None
    return TrainingReport(trained.n_steps, trained.n_skipped, loss)
