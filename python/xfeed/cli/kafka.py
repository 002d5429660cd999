"""`xfeed ingest --from kafka://…` and `xfeed kafka produce`."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xfeed.cli.common import JsonOption, err, out, print_json, progress_bar
from xfeed.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

    from xfeed.kafka import KafkaIngest, ProduceReport

TURN_SECS = 0.05


def follow(
    address: str,
    data: Path,
    *,
    config: Mapping[str, Any],
    until_caught_up: bool,
    status_every: float,
    as_json: bool,
) -> int:
    """Keeps `data` in step with topics until told to stop; returns how many events were refused.

    Raises:
        XfeedError: what ended the work.
    """
    from xfeed.kafka import KafkaIngest

    # The work is done by other threads, so that signals are served at once.
    stop = _stop_on_signals()
    with KafkaIngest(data, address, config=config) as ingest:
        ingest.start()
        _watch(ingest, stop, until_caught_up=until_caught_up, status_every=status_every)
    status = ingest.status()
    n_refused: int = sum(status["refused"].values())
    if as_json:
        print_json({"caught_up": ingest.is_caught_up(), **status, "state": ingest.world.counts()})
    else:
        out().print(
            f"{status['applied']:,} applied, {n_refused:,} refused, {status['lag']:,} left to"
            f" read, snapshot {status['snapshot']['number']}",
            highlight=False,
        )
    return n_refused


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        # The second one is the kernel's, so that it ends whatever is going on.
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        signal.signal(number, ask)
    return stop


def _watch(
    ingest: KafkaIngest, stop: threading.Event, *, until_caught_up: bool, status_every: float
) -> None:
    began = time.monotonic()
    patience = ingest.config.kafka.connect_timeout_secs
    next_status = began + status_every
    last_codes: list[str] = []
    while not ingest.wait(TURN_SECS) and not stop.is_set():
        if until_caught_up and ingest.is_caught_up():
            return
        reasons = ingest.reasons()
        codes = [reason["code"] for reason in reasons]
        if codes != last_codes:
            last_codes = codes
            for reason in reasons:
                err().print(f"not ready [{reason['code']}]: {reason['message']}", markup=False)
            if not reasons:
                err().print("ready", markup=False)
        waits = until_caught_up and not ingest.is_connected()
        if waits and time.monotonic() - began > patience:
            raise StoreError(
                "; ".join(reason["message"] for reason in reasons),
                code=codes[0],
                hint="kafka.connect_timeout_secs says how long to wait",
            )
        if status_every and time.monotonic() >= next_status:
            next_status += status_every
            print_json(ingest.status())


def produce(
    files: Annotated[
        list[Path],
        typer.Argument(help="Files or directories; - is standard input.", metavar="FILE…"),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="kafka://…", help="One topic, or two: kafka://host:port/posts,graph"
        ),
    ],
    file_format: Annotated[
        str, typer.Option("--format", "-f", help="Format of the files; see docs/adapters.md.")
    ] = "jsonl",
    allow_rejects: Annotated[
        bool, typer.Option("--allow-rejects", help="Exit with 0 even when events were refused.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Writes events to topics, keyed so that what belongs together stays in order.

    Returns when all in-sync replicas have them. Events that are not valid are not sent; the exit
    code is then 1 unless --allow-rejects is given.
    """
    from xfeed.adapters import adapter
    from xfeed.kafka import produce as send

    def payloads() -> Iterator[bytes]:
        for line in adapter(file_format).read(files):
            yield line.payload

    with progress_bar() as bar:
        task = bar.add_task("produce", total=None, note="")

        def tell(report: ProduceReport) -> None:
            bar.update(task, note=f"{report.read:,} events, {report.n_refused:,} refused")

        report = send(payloads(), to, on_progress=tell)
    if as_json:
        print_json(report.to_dict())
    else:
        out().print(
            f"{report.read:,} read, {report.delivered:,} delivered, {report.n_refused:,} refused",
            highlight=False,
        )
        for position, code, message in report.examples:
            out().print(f"  event {position} [{code}]: {message}", markup=False, highlight=False)
    if report.n_refused and not allow_rejects:
        raise typer.Exit(1)
