"""What all commands share: options, output, errors.

Results go to standard output, progress and messages to standard error. With `--json` the only thing
on standard output is JSON, also when something fails. Exit codes: 0 done, 1 something is wrong with
the data or the state, 2 the command was called wrongly.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from xfeed.errors import XfeedError

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

DataOption = Annotated[
    Path, typer.Option("--data", "-d", envvar="XFEED_DATA", help="Data directory.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON only.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SETTING=VALUE", help="Override a setting; may be repeated."),
]

DEFAULT_DATA = Path("xfeed-data")


def out() -> Console:
    """Console of results."""
    return Console()


def err() -> Console:
    """Console of progress and messages."""
    return Console(stderr=True)


def print_json(value: Any) -> None:
    """Writes one JSON document and a line end to standard output, byte for byte."""
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


def printable(text: str) -> str:
    """Text whose control characters are escaped, so that foreign names cannot steer a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def overrides(assignments: list[str] | None) -> dict[str, Any]:
    """Reads the values of `--set`."""
    from xfeed.config_text import merge, parse_override

    merged: dict[str, Any] = {}
    for assignment in assignments or []:
        merge(merged, parse_override(assignment))
    return merged


def progress_bar() -> Progress:
    """A bar on standard error; silent where that is no terminal."""
    console = err()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def handled(command: Callable[P, R]) -> Callable[P, R]:
    """Turns an expected error into a message and exit code 1."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except XfeedError as error:
            message = str(error.args[0] if error.args else error)
            if kwargs.get("as_json"):
                print_json({"error": {"code": error.code, "message": message, "hint": error.hint}})
            else:
                text = "\n".join(map(printable, message.split("\n")))
                err().print(f"error [{error.code}]: {text}", style="red", markup=False)
        except OSError as error:
            if kwargs.get("as_json"):
                print_json({"error": {"code": "os_error", "message": str(error), "hint": ""}})
            else:
                err().print(f"error: {error}", style="red", markup=False)
        raise typer.Exit(1)

    return wrapper
