"""`xfeed doctor`: is everything in place?"""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
from typing import TYPE_CHECKING, Literal, NamedTuple

import typer

from xfeed.cli.common import DEFAULT_DATA, DataOption, JsonOption, out, print_json
from xfeed.errors import XfeedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from xfeed.feed import Feed

MIN_FREE_BYTES = 1 << 30


class Finding(NamedTuple):
    """One line of the diagnosis."""

    state: Literal["ok", "warning", "problem"]
    what: str
    detail: str


def doctor(data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Checks the installation and, where there is one, the data directory."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _installation,
        _torch,
        lambda: _directory(data),
    )
    findings = [finding for check in checks for finding in check()]
    if as_json:
        print_json({"findings": [finding._asdict() for finding in findings]})
    else:
        marks = {
            "ok": "[green]ok     [/]",
            "warning": "[yellow]warning[/]",
            "problem": "[red]problem[/]",
        }
        for state, what, detail in findings:
            out().print(f"{marks[state]} {what:<16} {detail}", highlight=False, soft_wrap=True)
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(1)


def _installation() -> Iterator[Finding]:
    from xfeed import _core

    yield Finding("ok", "xfeed", f"{_core.version()} on Python {platform.python_version()}")
    yield Finding("ok", "machine", f"{platform.machine()}, {os.cpu_count()} cores, {sys.platform}")
    yield Finding("ok", "sqlite", sqlite3.sqlite_version)


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield Finding("problem", "torch", f"cannot be imported: {error}")
        return
    device = "with CUDA" if torch.cuda.is_available() else "on the CPU"
    detail = f"{torch.__version__} {device}, {torch.get_num_threads()} threads"
    yield Finding("ok", "torch", detail)


def _directory(data: Path) -> Iterator[Finding]:
    from xfeed.feed import Feed

    if not data.exists():
        yield Finding("warning", "data", f"`{data}` does not exist yet; `xfeed ingest` makes it")
        return
    free = shutil.disk_usage(data).free
    state: Literal["ok", "warning"] = "ok" if free >= MIN_FREE_BYTES else "warning"
    yield Finding(state, "disk", f"{free / 2**30:.1f} GiB free")
    try:
        with Feed.open(data, mode="read") as feed:
            counts = feed.counts()
            detail = ", ".join(f"{value:,} {name}" for name, value in counts.items())
            yield Finding("ok", "log", f"{feed.log_offset:,} events: {detail}")
            yield _snapshots(feed)
            page = feed.for_you("doctor", limit=1)
            if feed.model_problem:
                yield Finding("problem", "model", feed.model_problem)
            elif page.receipt.bundle_id:
                yield Finding("ok", "model", f"bundle {page.receipt.bundle_id[:12]}")
            else:
                yield Finding("warning", "model", "none yet; `xfeed fit` trains one")
            for problem in page.degraded:
                yield Finding("problem", "stage", problem)
    except XfeedError as error:
        yield Finding("problem", "data", str(error))


def _snapshots(feed: Feed) -> Finding:
    at = feed.snapshot_state
    behind = feed.log_offset - at.offset
    every = feed.config.snapshot.every_events
    detail = f"the newest is {behind:,} events behind" if at.offset else "none yet"
    if at.problem:
        return Finding("warning", "snapshots", f"{detail}; {at.problem}")
    if every and behind > 2 * every:
        return Finding(
            "warning",
            "snapshots",
            f"{detail}, one is due after {every:,}: the last ones failed (`xfeed snapshot create` "
            "tells why), or events came before there were snapshots",
        )
    return Finding("ok", "snapshots", detail)
