"""`xfeed feed` and `xfeed where`: a page, and what became of a post."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from xfeed.cli.common import (
    DEFAULT_DATA,
    DataOption,
    JsonOption,
    SetOption,
    err,
    out,
    overrides,
    print_json,
)

if TYPE_CHECKING:
    from rich.console import Console

    from xfeed.mixer.result import FeedItem, FeedResult

NowOption = Annotated[
    int | None, typer.Option("--now", help="Time of the request, unix milliseconds.")
]


def feed(
    viewer: Annotated[str, typer.Argument(help="Who asks.")],
    data: DataOption = DEFAULT_DATA,
    limit: Annotated[int | None, typer.Option("--limit", "-n", help="Posts on the page.")] = None,
    why: Annotated[int, typer.Option("--why", help="Show the whole sum of the first N posts.")] = 0,
    timings: Annotated[
        bool, typer.Option("--timings", help="Show milliseconds per stage (standard error).")
    ] = False,
    now: NowOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Makes a page for a viewer and says why each post is on it.

    The same request on the same data gives the same bytes.
    """
    from xfeed.feed import Feed

    with Feed.open(data, mode="read", config=overrides(settings)) as opened:
        page = opened.for_you(viewer, limit=limit, now_ms=now)
        problem = opened.model_problem
    if as_json:
        sys.stdout.buffer.write(page.to_json() + b"\n")
        sys.stdout.buffer.flush()
    else:
        show_page(out(), page)
        for item in page[:why]:
            out().print(f"\n{item.position}. post {item.post_id}\n{item.why}", highlight=False)
        show_removed(out(), page)
    if problem:
        err().print(f"warning: {problem}", style="yellow", markup=False)
    if timings:
        for stage in page.funnel:
            err().print(
                f"{stage.kind:<16} {stage.name:<20} {stage.n_in:>6} -> {stage.n_out:>6} "
                f"{stage.millis:>9.3f} ms",
                highlight=False,
            )


def where(
    post: Annotated[str, typer.Argument(help="The post.")],
    viewer: Annotated[str, typer.Option("--viewer", "-v", help="On whose page.")],
    data: DataOption = DEFAULT_DATA,
    now: NowOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Says what becomes of a post on a viewer's page: its place, or which rule keeps it away."""
    from xfeed.feed import Feed

    with Feed.open(data, mode="read", config=overrides(settings)) as opened:
        found = opened.where(post, viewer, now_ms=now)
    if as_json:
        print_json(found.to_dict())
    else:
        out().print(str(found), highlight=False, markup=False, soft_wrap=True)


def show_page(console: Console, page: FeedResult) -> None:
    """Prints a page, two lines a post: what it says, and why it is there."""
    ranked = page.mode.replace("_", " ")
    console.print(f"for viewer {page.viewer_id}, ranked by: {ranked}", highlight=False)
    for item in page:
        text = Text(f"{item.position:>3}. ", style="bold")
        text.append(f"{item.score:.3f}  ", style="cyan")
        text.append(f"{_author(item)}: ", style="green")
        text.append(" ".join(item.text.split()) or f"({item.kind} {item.post_id})", style="default")
        console.print(text, no_wrap=True, overflow="ellipsis")
        console.print(Text(f"            {reasons(item)}", style="dim"), soft_wrap=True)
    for problem in page.degraded:
        console.print(f"degraded: {problem}", style="yellow", markup=False)


def reasons(item: FeedItem) -> str:
    """The main parts of a score in a few words."""
    parts = [
        f"{part.name} {part.prediction:.2f}×{part.weight:g}={part.product:+.2f}"
        if part.prediction is not None
        else f"{part.name} {part.product:+.2f}"
        for part in item.why.main_parts()
    ]
    factors = [f"×{value:.2f} {name}" for name, value in item.why.multipliers.items() if value != 1]
    return ", ".join(parts + factors)


def show_removed(console: Console, page: FeedResult) -> None:
    """Prints how many candidates each filter removed, with one example per reason."""
    removed = page.removed
    total = sum(removed.values())
    console.print(f"removed on the way: {total:,}", highlight=False)
    for example in page.removed_examples():
        count = removed.get(example.reason, 0)
        console.print(
            f"  {count:>5,} {example.reason:<20} e.g. post {example.post_id}: {example.detail}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _author(item: FeedItem) -> str:
    network = {True: "followed", False: item.source, None: "unknown"}[item.in_network]
    return f"{item.author_handle or item.author_id} ({network})"
