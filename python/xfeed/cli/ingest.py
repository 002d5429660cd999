"""`xfeed ingest`: events into a data directory, from files or from Kafka."""

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
        list[Path] | None,
        typer.Argument(help="Files or directories; - is standard input.", metavar="FILE…"),
    ] = None,
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
    kafka: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="kafka://…",
            help="Follow topics instead of reading files: kafka://host:port/topic,topic",
        ),
    ] = None,
    until_caught_up: Annotated[
        bool,
        typer.Option(
            "--until-caught-up", help="With --from: stop at the end that the topics had at start."
        ),
    ] = False,
    status_every: Annotated[
        float,
        typer.Option(
            "--status-every",
            metavar="SECS",
            help="With --from: print the status as a JSON line this often; 0 is never.",
            min=0,
        ),
    ] = 0,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reads events, checks them and folds them in.

    Events from files are appended to the log of the directory. With --from the topics are the log:
    the command follows them until it is stopped (SIGTERM or Ctrl-C: makes a snapshot and exits
    with 0; a second one ends it at once). See docs/kafka.md.

    Refused events are written to `dead_letters.jsonl` with the reason, and the rest goes on; the
    exit code is then 1 unless --allow-rejects is given or topics are followed without an end.
    """
    if (kafka is None) == (not files):
        raise typer.BadParameter("name files, or topics with --from kafka://host:port/topic")
    if kafka is not None:
        if acks or file_format != "jsonl":
            raise typer.BadParameter("--acks and --format are for files; see docs/kafka.md")
        from xfeed.cli.kafka import follow

        n_refused = follow(
            kafka,
            data,
            config=overrides(settings),
            until_caught_up=until_caught_up,
            status_every=status_every,
            as_json=as_json,
        )
        if until_caught_up and n_refused and not allow_rejects:
            raise typer.Exit(1)
        return
    if until_caught_up or status_every:
        raise typer.BadParameter("--until-caught-up and --status-every go with --from")
    _ingest_files(files or [], data, file_format, allow_rejects, acks, settings, as_json)


def _ingest_files(
    files: list[Path],
    data: Path,
    file_format: str,
    allow_rejects: bool,
    acks: bool,
    settings: list[str] | None,
    as_json: bool,
) -> None:
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
