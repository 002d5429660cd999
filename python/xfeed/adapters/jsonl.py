"""xfeed's own format: one event per line.

Lines are handed on as bytes. Whether they are JSON, or text at all, is for the border to say, so
that a damaged line costs one entry in the dead-letter file and not the rest of the file.
"""

import gzip
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO, ClassVar, Final, cast

from xfeed.adapters.base import RawLine, no_such_file
from xfeed.errors import ConfigError, EventError

MAX_LINE_LEN: Final = 65_536
"""Bytes that an event may have; longer lines are cut one byte above it and so refused."""


class JsonLines:
    """Reads `.jsonl` files, gzip included, and standard input."""

    name: ClassVar[str] = "jsonl"
    summary: ClassVar[str] = "xfeed's own events, one JSON object a line (.jsonl, .gz or -)"

    def read(self, paths: Sequence[Path]) -> Iterator[RawLine]:
        """Yields every line that is not blank.

        Args:
            paths: files; a name that ends in `.gz` is unpacked, `-` is standard input.

        Yields:
            Lines without their end. Blank lines count in the numbers but are left out.

        Raises:
            ConfigError: a file is missing or is a directory.
            EventError: a packed file is damaged.
        """
        for path in paths:
            yield from _read_one(path)

    def suggested_config(self) -> dict[str, object]:
        """Returns nothing: the defaults are made for this format."""
        return {}


def _read_one(path: Path) -> Iterator[RawLine]:
    source, line = ("<stdin>" if str(path) == "-" else path.name), 0
    try:
        with _open(path) as file:
            for payload in _lines(file):
                line += 1
                if payload.strip():
                    yield RawLine(payload, source, line)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise EventError(
            f"`{path}` cannot be unpacked after line {line}: {error}",
            code="damaged_file",
            hint="fetch or pack the file again; the lines before it are read",
        ) from error


def _open(path: Path) -> "nullcontext[BinaryIO] | BinaryIO":
    if str(path) == "-":
        return nullcontext(sys.stdin.buffer)
    if path.is_dir():
        raise ConfigError(
            f"`{path}` is a directory",
            code="not_a_file",
            hint=f"name its files, such as `{path}/*.jsonl`",
        )
    if not path.exists():
        raise no_such_file(path)
    return cast("BinaryIO", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yields lines without their end, never holding more than `MAX_LINE_LEN` and one read."""
    limit = MAX_LINE_LEN + 2
    while piece := file.readline(limit):
        rest = piece
        while not rest.endswith(b"\n") and (rest := file.readline(limit)):
            pass
        yield piece.removesuffix(b"\n").removesuffix(b"\r")[: MAX_LINE_LEN + 1]
