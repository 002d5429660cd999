"""From the log to an active model: export, train, evaluate, write, activate."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from xfeed import _core
from xfeed.columns import interaction_columns, post_columns
from xfeed.errors import ConfigError
from xfeed.replay import replay

if TYPE_CHECKING:
    from collections.abc import Callable

    from xfeed.config import FeedConfig
    from xfeed.log import EventLog
    from xfeed.models import ModelStore
    from xfeed.phoenix.optimize import Progress
    from xfeed.phoenix.train import FitReport


FOREVER_MS = 2**62
"""Learning forgets no post: what is served has a retention, what is learned has not."""


def fold_for_training(log: EventLog, end_offset: int, max_rows_per_viewer: int) -> _core.World:
    """Folds the log up to `end_offset` without a retention."""
    world = _core.World(retention_ms=FOREVER_MS, max_history_len=max_rows_per_viewer)
    replay(log, world, 0, end_offset)
    return world


def fit(
    log: EventLog,
    models: ModelStore,
    config: FeedConfig,
    progress: Callable[[Progress], None] | None,
) -> FitReport:
    """Trains both models on the whole log and activates the bundle.

    Raises:
        ConfigError: when there are too few impressions to learn from.
        BundleError: when training or loading fails; the active bundle stays.
    """
    import torch

    from xfeed.phoenix.config import PhoenixConfig, TrainConfig
    from xfeed.phoenix.train import fit as fit_models

    log_offset = log.end_offset
    world = fold_for_training(log, log_offset, config.training.max_rows_per_viewer)
    posts_dict, rows_dict = world.interactions()
    posts = post_columns(posts_dict)
    rows = interaction_columns(rows_dict, posts)
    impressions = int(rows.is_impression.sum())
    if impressions < config.training.min_impressions:
        raise ConfigError(
            f"the log holds {impressions} impressions, at least "
            f"{config.training.min_impressions} are needed to learn from",
            code="too_little_data",
            hint="ingest `impression` and `action` events; until then the feed shows the newest "
            "and the popular posts",
        )
    torch.set_num_threads(config.threads)
    models.directory.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix="new-", dir=models.directory))
    try:
        report = fit_models(
            posts,
            rows,
            PhoenixConfig.demo(),
            TrainConfig(
                seed=config.seed,
                ranker_epochs=config.training.ranker_epochs,
                retrieval_epochs=config.training.retrieval_epochs,
                held_out_fraction=config.training.held_out_fraction,
            ),
            progress or (lambda _: None),
            temporary,
            log_offset=log_offset,
        )
        models.accept(temporary, report.bundle_id)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    models.activate(report.bundle_id)
    return report
