"""`xfeed snapshot`: the state in files, made, listed and checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from xfeed.cli.common import DEFAULT_DATA, DataOption, JsonOption, SetOption, out, print_json
from xfeed.cli.common import overrides as read_overrides
from xfeed.errors import StoreError

if TYPE_CHECKING:
    from xfeed.snapshots import SnapshotInfo


def create(
    data: DataOption = DEFAULT_DATA, settings: SetOption = None, as_json: JsonOption = False
) -> None:
    """Makes a snapshot of a data directory and checks it by loading it.

    The next start loads it and folds only what came after it. The newest two are kept.
    """
    from xfeed.feed import Feed

    _check_data(data)
    with Feed.open(data, config=read_overrides(settings)) as feed:
        info = feed.snapshot()
    if as_json:
        print_json(msgspec.to_builtins(info))
    else:
        out().print(_line(info), highlight=False, soft_wrap=True, markup=False)


def verify(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files; all of --data without any.", metavar="FILE…")
    ] = None,
    data: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Loads snapshots and compares each state with its hash; exit code 1 when one is damaged."""
    from xfeed.snapshots import SnapshotStore

    if not paths:
        _check_data(data)
        paths = [listed.path for listed in SnapshotStore(data, writable=False).list()]
    if not paths:
        raise StoreError(
            f"there is no snapshot in `{data}`",
            code="no_snapshot",
            hint="`xfeed snapshot create` makes one",
        )
    results: list[dict[str, Any]] = []
    for path in paths:
        try:
            info = SnapshotStore.verify(path)
            results.append({"path": str(path), "problem": "", **msgspec.to_builtins(info)})
            text = f"ok       {_line(info)}"
        except StoreError as error:
            problem = str(error.args[0])
            results.append({"path": str(path), "problem": problem})
            text = f"problem  {problem}"
        if not as_json:
            out().print(text, highlight=False, soft_wrap=True, markup=False)
    if as_json:
        print_json({"snapshots": results})
    if any(result["problem"] for result in results):
        raise typer.Exit(1)


def list_snapshots(data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Lists the snapshots of a data directory, newest first, without loading them."""
    from xfeed.snapshots import SnapshotStore

    _check_data(data)
    listed = SnapshotStore(data, writable=False).list()
    if as_json:
        snapshots = [
            {"path": str(path), "problem": problem, **msgspec.to_builtins(info or {})}
            for path, info, problem in listed
        ]
        print_json({"snapshots": snapshots})
        return
    for _, info, problem in listed:
        text = problem if info is None else _line(info)
        out().print(text, highlight=False, soft_wrap=True, markup=False)
    if not listed:
        out().print(f"no snapshot in {data}: `xfeed snapshot create` makes one", markup=False)


def _line(info: SnapshotInfo) -> str:
    offsets = ", ".join(f"{name} {offset:,}" for name, offset in sorted(info.offsets.items()))
    return (
        f"{info.path}: {offsets}; {info.counts['events']:,} events, "
        f"{info.counts['posts']:,} posts, {info.n_bytes / 2**20:.1f} MiB, "
        f"state {info.state_hash[:12]}"
    )


def _check_data(data: Path) -> None:
    if not data.is_dir():
        raise StoreError(
            f"there is no data directory `{data}`",
            code="no_data",
            hint="name one with --data; `xfeed ingest` makes it",
        )
