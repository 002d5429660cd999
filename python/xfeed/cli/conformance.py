"""`xfeed conformance`: cases that describe how the system must behave."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xfeed.cli.common import JsonOption, out, print_json


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
    """Runs every case under the given paths; says what passed, failed and is unknown.

    The exit code is 1 when a case fails, and when an area or an input is unknown.
    """
    from xfeed.conformance import run

    report = run(paths)
    if as_json:
        print_json(report.to_dict())
    else:
        out().print(report.to_text(), highlight=False, markup=False, soft_wrap=True)
    if report.failed or (report.unknown and not allow_unknown):
        raise typer.Exit(1)
