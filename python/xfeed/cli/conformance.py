"""`xfeed conformance`: cases that describe how the system must behave."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from xfeed.cli.common import JsonOption, err, out, print_json


def conformance(
    paths: Annotated[
        list[Path], typer.Argument(help="Case files, golden vectors or folders.", metavar="PATH…")
    ],
    allow_unknown: Annotated[
        bool,
        typer.Option("--allow-unknown", help="Exit with 0 even when something is not covered."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Runs every case under the given paths and prints one line per area.

    The exit code is 1 when a case fails, and when an area or an input is unknown.
    """
    from xfeed.conformance import run

    report = run(paths)
    if as_json:
        print_json(report.to_dict())
    else:
        table = Table(title="conformance")
        table.add_column("area")
        for name in ("passed", "failed", "unknown"):
            table.add_column(name, justify="right")
        for area, counts in report.to_dict()["areas"].items():
            table.add_row(area, *(str(counts[n]) for n in ("passed", "failed", "unknown")))
        out().print(table)
        for area, counts in report.to_dict()["areas"].items():
            for failure in counts["failures"]:
                err().print(
                    f"{area} {failure['case']}\n  expected {failure['expected']}\n"
                    f"  got      {failure['got']}",
                    style="red",
                    markup=False,
                )
    if report.failed or (report.unknown and not allow_unknown):
        raise typer.Exit(1)
