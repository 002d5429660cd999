"""`xfeed demo`: a community, a feed, and why."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from xfeed.cli.common import JsonOption, err, out, print_json
from xfeed.cli.feed import show_page, show_removed
from xfeed.cli.fit import fit_with_progress, show_report
from xfeed.errors import StoreError

if TYPE_CHECKING:
    from rich.console import Console

    from xfeed.feed import Feed
    from xfeed.mixer.result import FeedResult

MARKER = "made-by-xfeed-demo"
PAGE_LEN = 10
VIEWERS_TRIED = 60


def demo(
    data: Annotated[
        Path, typer.Option("--data", "-d", help="Data directory; made anew by each run.")
    ] = Path("demo-data"),
    seed: Annotated[int, typer.Option("--seed", help="Another seed, another community.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Makes a community of some thousand people, feeds it in, trains, and explains one feed."""
    from xfeed.data import CommunityConfig, community
    from xfeed.feed import Feed

    start = time.perf_counter()
    console = err() if as_json else out()
    _prepare(data)
    _headline(console, 1, "world", "a synthetic community, the same for the same seed")
    made = community(CommunityConfig(seed=seed))
    _show_figures(console, made.figures)
    with Feed.open(data, config={"seed": seed}) as feed:
        _headline(console, 2, "ingest", "checked, made durable, folded into memory")
        report = feed.ingest(made.events(), source="demo")
        console.print(
            f"{report.read:,} events in {report.seconds:.1f} s = {report.events_per_sec:,.0f} "
            f"events/s, {report.n_rejected} refused; state {feed.state_hash()[:12]}",
            highlight=False,
        )
        _headline(console, 3, "training", "two towers and a ranker, judged on what came later")
        fitted = fit_with_progress(feed)
        show_report(console, fitted)
        page = _telling_page(feed)
        _headline(console, 4, "a feed", "every score is a sum that you can check")
        show_page(console, page)
        console.print(f"\nthe whole sum of the first post:\n{page[0].why}", highlight=False)
        _headline(console, 5, "what was removed", "and by which rule")
        show_removed(console, page)
        examples = page.removed_examples()
    seconds = time.perf_counter() - start
    console.print(f"\ndone in {seconds:.0f} s. Try next:", highlight=False)
    # `make demo` runs it from an environment that is not active.
    program = "xfeed" if shutil.which("xfeed") else sys.argv[0]
    post = examples[-1].post_id if examples else page[-1].post_id
    for command in (
        f"{program} feed {page.viewer_id} --data {data} --why 3",
        f"{program} where {post} --viewer {page.viewer_id} --data {data}",
        f"{program} feed {page.viewer_id} --data {data} --set scoring.weights.reply=20",
    ):
        console.print(f"  {command}", highlight=False, soft_wrap=True)
    if as_json:
        print_json(
            {
                "figures": made.figures,
                "ingest": report.to_dict(),
                "fit": fitted.to_json(),
                "page": page.to_dict(),
                "removed": [example.to_dict() for example in examples],
                "seconds": seconds,
            }
        )


def _prepare(data: Path) -> None:
    """Clears what an earlier demo left; never touches any other directory."""
    if data.exists() and any(data.iterdir()):
        if not (data / MARKER).exists():
            raise StoreError(
                f"`{data}` is not empty and was not made by the demo",
                code="not_a_demo",
                hint="name another directory with --data",
            )
        shutil.rmtree(data)
    data.mkdir(parents=True, exist_ok=True)
    (data / MARKER).write_text("`xfeed demo` may delete this directory.\n", encoding="utf-8")


def _headline(console: Console, step: int, what: str, meaning: str) -> None:
    console.print(f"\n[bold]{step}/5 {what}[/bold]: {meaning}", highlight=False)


def _show_figures(console: Console, figures: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None)
    plain = [(name, value) for name, value in figures.items() if not name.startswith("action.")]
    actions = [
        (n.removeprefix("action."), v) for n, v in figures.items() if n.startswith("action.")
    ]
    for name, value in [*plain, *actions]:
        shown = f"{value:,}" if isinstance(value, int) else str(value)
        table.add_row(name.replace("_", " "), shown)
    console.print(table)


def _telling_page(feed: Feed) -> FeedResult:
    """The page, among those of the first viewers, on which most different rules did something."""
    pages = (feed.for_you(viewer, limit=PAGE_LEN) for viewer in range(1, VIEWERS_TRIED + 1))
    return max((page for page in pages if len(page)), key=lambda page: len(page.removed))
