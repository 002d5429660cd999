"""`xfeed fit`: train, evaluate, activate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from xfeed.cli.common import (
    DEFAULT_DATA,
    DataOption,
    JsonOption,
    SetOption,
    out,
    overrides,
    print_json,
    progress_bar,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from xfeed.feed import Feed
    from xfeed.phoenix.learning.optimize import Progress as Step
    from xfeed.phoenix.learning.train import FitReport

MIN_POSITIVES = 20
"""Actions seen less often than this in the held-out part say nothing and are not shown."""


def fit(
    data: DataOption = DEFAULT_DATA,
    settings: SetOption = None,
    as_json: JsonOption = False,
    activate_anyway: Annotated[
        bool,
        typer.Option("--activate-anyway", help="Activate the new models even if they are worse."),
    ] = False,
) -> None:
    """Trains both models on the log, evaluates on its newest part and activates them."""
    from xfeed.feed import Feed

    with Feed.open(data, config=overrides(settings)) as feed:
        report = fit_with_progress(feed, activate_anyway=activate_anyway)
    if as_json:
        print_json(report.to_json())
    else:
        show_report(out(), report)


def fit_with_progress(feed: Feed, *, activate_anyway: bool = False) -> FitReport:
    """Fits with a bar on standard error."""
    with progress_bar() as bar:
        tasks: dict[str, TaskID] = {}

        def advance(step: Step) -> None:
            if step.stage not in tasks:
                tasks[step.stage] = bar.add_task(step.stage, total=step.n_steps, note="")
            note = "" if step.loss is None else f"loss {step.loss:.3f}"
            bar.update(tasks[step.stage], total=step.n_steps, completed=step.step, note=note)

        return feed.fit(progress=advance, activate_anyway=activate_anyway)


def show_report(console: Console, report: FitReport) -> None:
    """Prints the held-out figures beside the baselines."""
    table = Table(title=f"held out: the newest {report.held_out_impressions:,} impressions")
    for name in ("action", "seen", "AUC model", "AUC post rate", "AUC viewer rate", "calibration"):
        table.add_column(name, justify="left" if name == "action" else "right")
    for name, action in report.ranker.actions.items():
        if action.auc is None or action.positives < MIN_POSITIVES:
            continue
        figures = (action.auc, action.post_rate_auc, action.viewer_rate_auc, action.calibration)
        shown = ["-" if value is None else f"{value:.3f}" for value in figures]
        table.add_row(name, f"{action.positives:,}", *shown)
    console.print(table)
    recall, popular = report.retrieval.recall, report.retrieval.popularity_recall
    for k in ("100", "200"):
        if recall.get(k) is not None and popular.get(k) is not None:
            console.print(
                f"retrieval: {recall[k]:.1%} of {report.retrieval.targets:,} later liked posts are "
                f"among the {k} nearest of {report.retrieval.corpus:,} (by popularity: "
                f"{popular[k]:.1%})",
                highlight=False,
            )
    if report.rival_loss is not None and report.ranker.loss is not None:
        console.print(
            f"held-out loss {report.ranker.loss:.4f}, the bundle before {report.rival_loss:.4f}",
            highlight=False,
        )
    outcome = "is active"
    if not report.activated:
        outcome = (
            "is worse and was not activated (`--activate-anyway`, or raise "
            "`training.max_loss_increase`)"
        )
    console.print(
        f"bundle {report.bundle_id[:12]} {outcome}; {report.seconds:.1f} s", highlight=False
    )
