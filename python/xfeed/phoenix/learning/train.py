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
from xfeed.phoenix.bundles.read import ModelParts, check_free, model_parts, write_bundle
from xfeed.phoenix.bundles.table_streams import TableDtype
from xfeed.phoenix.config import PhoenixConfig, TrainConfig
from xfeed.phoenix.learning.evaluate import (
    RankerReport,
    RetrievalReport,
    evaluate_ranker,
    evaluate_retrieval,
)
from xfeed.phoenix.learning.examples import Examples
from xfeed.phoenix.learning.optimize import ProgressCallback
from xfeed.phoenix.learning.parallel import side_by_side
from xfeed.phoenix.learning.rival import rival_loss
from xfeed.phoenix.learning.tables import check_memory
from xfeed.phoenix.learning.train_ranker import TrainedRanker, train_ranker
from xfeed.phoenix.learning.train_retrieval import TrainedRetrieval, train_retrieval


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
        rival_id: id of the bundle that served before; None if there was none to compare with.
        rival_loss: its `ranker.loss` on the same impressions.
        activated: whether the new bundle serves now; False when it is worse than the one before
            or nobody activated it.
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
    rival_id: str | None = None
    rival_loss: float | None = None
    activated: bool = False

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
    retrieval_config: PhoenixConfig | None = None,
    rival: Path | None = None,
    table_dtype: TableDtype = "float32",
) -> FitReport:
    """Trains, evaluates on the newest impressions and writes a bundle.

    The same columns, configurations and seed give the same bytes on the same machine.

    Args:
        posts: every post.
        interactions: everything viewers saw or did.
        phoenix_config: shape of the ranker, and of the towers if `retrieval_config` is None.
        train_config: how to train.
        progress: called after each step, from the training threads but never from two at once;
            what it raises ends the fit.
        out_dir: directory of the bundle; must not exist yet, or be empty.
        log_offset: last event of the log that the columns hold; kept in the bundle.
        retrieval_config: shape of the towers.
        rival: directory of a bundle to measure on the same impressions, named by its id, or None.
        table_dtype: how the bundle stores embedding rows; the evaluation is in float32.

    Returns:
        What was done and measured.

    Raises:
        BundleError: the directory is taken, or training ended with values that are not finite;
            nothing is written then.
        ConfigError: there is nothing to train on, or the tables do not fit into memory.
    """
    started = time.perf_counter()
    directory = Path(out_dir)
    check_free(directory)
    examples = Examples.split(interactions, train_config.held_out_fraction)
    limit = train_config.max_evaluation_impressions
    towers_config = retrieval_config or phoenix_config
    for config in (phoenix_config, towers_config):
        check_memory(config)

    def make_ranker(report: ProgressCallback) -> tuple[TrainedRanker, RankerReport]:
        trained = train_ranker(posts, examples, phoenix_config, train_config, report)
        return trained, evaluate_ranker(trained, posts, examples, limit, report)

    def make_retrieval(report: ProgressCallback) -> tuple[TrainedRetrieval, RetrievalReport]:
        trained = train_retrieval(posts, examples, towers_config, train_config, report)
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
        train=train_config,
        ranker=_parts(ranker, phoenix_config),
        retrieval=_parts(retrieval, towers_config),
        metrics=metrics,
        log_offset=log_offset,
        table_dtype=table_dtype,
    )
    before = None
    if rival is not None:
        before = rival_loss(rival, posts, examples, limit, progress)
    return FitReport(
        bundle_id=bundle_id,
        seconds=time.perf_counter() - started,
        rival_id=rival.name if rival is not None and before is not None else None,
        rival_loss=before,
        **parts,
    )


def _parts(trained: TrainedRanker | TrainedRetrieval, config: PhoenixConfig) -> ModelParts:
    """A trained model and its tables, ready to be written."""
    tables = {name: one.table.core for name, one in trained.tables.tables.items()}
    return model_parts(config, trained.model, tables)


def _training_report(trained: TrainedRanker | TrainedRetrieval) -> TrainingReport:
    """How training went, in plain values."""
    loss = trained.loss if math.isfinite(trained.loss) else None
    return TrainingReport(trained.n_steps, trained.n_skipped, loss)
