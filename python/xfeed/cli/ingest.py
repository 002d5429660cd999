"""`xfeed ingest`: events into a data directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xfeed.cli.common import (
    DEFAULT_DATA,
    DataOption,
    JsonOption,
    SetOption,
    err,
    out,
    overrides,
    print_json,
    progress_bar,
)

if TYPE_CHECKING:
    from xfeed.ingest import IngestReport


def ingest(
    files: Annotated[
        list[Path],
        typer.Argument(help="Files or directories; - is standard input.", metavar="FILE…"),
    ],
    data: DataOption = DEFAULT_DATA,
    file_format: Annotated[
        str, typer.Option("--format", "-f", help="Format of the files; see docs/adapters.md.")
    ] = "jsonl",
    allow_rejects: Annotated[
        bool, typer.Option("--allow-rejects", help="Exit with 0 even when events were refused.")
    ] = False,
    acks: Annotated[
        bool,
        typer.Option("--acks", help="Print one JSON line per batch as soon as it is durable."),
    ] = False,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reads events, checks them, appends them to the log and folds them in.

    Refused events are written to `dead_letters.jsonl` with the reason, and the rest goes on; the
    exit code is then 1 unless --allow-rejects is given.
    """
    from xfeed.adapters import adapter
    from xfeed.config import suggest
    from xfeed.feed import Feed

    reader = adapter(file_format)
    suggested = suggest(data, reader.suggested_config())
    with Feed.open(data, config=overrides(settings)) as feed, progress_bar() as bar:
        task = bar.add_task("ingest", total=None, note="")

        def acknowledge(report: IngestReport) -> None:
            bar.update(task, note=f"{report.read:,} events, {report.n_rejected:,} refused")
            if acks:
                print_json({"acknowledged": report.read, "end_offset": report.end_offset})

        report = feed.ingest_files(files, format=file_format, on_ack=acknowledge)
        counts = feed.counts()
    if as_json:
        print_json({**report.to_dict(), "state": counts})
    elif not acks:
        if suggested is not None:
            err().print(f"wrote {suggested}: settings that this format needs", markup=False)
        _show(report)
    if report.n_rejected and not allow_rejects:
        raise typer.Exit(1)


def _show(report: IngestReport) -> None:
    console = out()
    console.print(
        f"{report.read:,} read, {report.accepted:,} accepted, {report.duplicates:,} known already, "
        f"{report.n_rejected:,} refused, {report.events_per_sec:,.0f} events/s",
        highlight=False,
    )
    for event_type, count in sorted(report.by_type.items()):
        console.print(f"  {count:>9,} {event_type}", highlight=False)
    for code, count in sorted(report.rejected.items()):
        console.print(f"  {count:>9,} refused: {code}", highlight=False)
    if report.dead_letters:
        console.print(f"refused events: {report.dead_letters}", highlight=False, soft_wrap=True)
