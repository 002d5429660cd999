"""From the log to an active model: export, train, evaluate, write, activate."""

from __future__ import annotations

from dataclasses import replace
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
    from xfeed.phoenix.learning.optimize import Progress
    from xfeed.phoenix.learning.train import FitReport


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
    *,
    activate_anyway: bool = False,
) -> FitReport:
    """Trains both models on the whole log and activates the bundle unless it is worse.

    Worse is a ranker whose loss on the held-out impressions exceeds that of the active bundle by
    more than `training.max_loss_increase`. The new bundle is kept beside it then, and the report
    says so.

    Args:
        log: what to learn from.
        models: where bundles lie.
        config: settings.
        progress: called after each step, or None.
        activate_anyway: activates a worse bundle, too.

    Raises:
        ConfigError: when there are too few impressions to learn from.
        BundleError: when training or loading fails; the active bundle stays.
    """
    import torch

    from xfeed.phoenix.config import TrainConfig
    from xfeed.phoenix.learning.train import fit as fit_models
    from xfeed.phoenix.profiles import for_training

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
    active = models.active_id()
    preset = for_training(config.training.preset)
    with models.place_for_new() as temporary:
        report = fit_models(
            posts,
            rows,
            preset.ranker,
            TrainConfig(
                seed=config.seed,
                ranker_epochs=config.training.ranker_epochs,
                retrieval_epochs=config.training.retrieval_epochs,
                held_out_fraction=config.training.held_out_fraction,
            ),
            progress or (lambda _: None),
            temporary,
            log_offset=log_offset,
            retrieval_config=preset.retrieval,
            rival=models.directory / active if active is not None else None,
            table_dtype=config.training.table_dtype,
        )
        models.accept(temporary, report.bundle_id)
    if activate_anyway or not is_worse(report, config.training.max_loss_increase):
        models.activate(report.bundle_id)
        report = replace(report, activated=True)
    return report


def is_worse(report: FitReport, max_loss_increase: float) -> bool:
    """Whether a fitted ranker loses to the one that serves by more than the share allowed.

    Without a loss of either there is nothing to compare, and the new one is not worse. A loss
    that is not a number is.
    """
    new, old = report.ranker.loss, report.rival_loss
    if new is None or old is None or report.rival_id == report.bundle_id:
        return False
    return not new <= old * (1 + max_loss_increase)
