"""What an adapter is.

An adapter only translates. It decides nothing about whether an event is valid: the border that
reads its lines does that, for every format alike, and writes what it refuses to the dead-letter
file with the source and the line that the adapter named.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

from xfeed.errors import ConfigError


class RawLine(NamedTuple):
    """One event as it came, not checked yet.

    Attributes:
        payload: one JSON object, without a line end.
        source: name of the file, or `<stdin>`.
        line: number of the line or row in it, from 1.
    """

    payload: bytes
    source: str
    line: int


class Adapter(Protocol):
    """Reads one format.

    Attributes:
        name: what `--format` takes.
        summary: one line for `--help`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]

    def read(self, paths: Sequence[Path]) -> Iterator[RawLine]:
        """Yields every event of the files, lazily.

        Args:
            paths: what the user named, in that order.

        Yields:
            One event at a time. Reading the same files again gives the same lines.

        Raises:
            ConfigError: a file is missing or is none of this format.
            EventError: a file is damaged in a way that makes its rest unreadable.
        """
        ...

    def suggested_config(self) -> dict[str, object]:
        """Returns settings that a new data directory with this data needs; `{}` for none."""
        ...


def no_such_file(path: Path) -> ConfigError:
    """Makes the error for a path that is not there."""
    return ConfigError(
        f"there is no file or directory `{path}`",
        code="no_such_file",
        hint="check the spelling, or give the full path",
    )
