"""Finds and reads the files of KuaiRand-Pure, and joins its interactions."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from xfeed.adapters.base import no_such_file
from xfeed.errors import ConfigError, EventError

if TYPE_CHECKING:
    import polars as pl

_log = logging.getLogger(__name__)

_PATTERNS: Final = (
    "kuairand_*.parquet",
    "log_*.csv",
    "video_features_basic*.csv",
    "user_features*.csv",
)


def load(
    paths: Sequence[Path],
) -> "tuple[pl.DataFrame | None, list[pl.DataFrame], list[pl.DataFrame]]":
    """Reads the files and sorts them by what they hold.

    Args:
        paths: files, or directories that hold them.

    Returns:
        All distinct interactions in order of time, or None; the tables of videos; the tables of
        users. Each row has its `source` and its `line`, counted from 1.

    Raises:
        ConfigError: polars is not installed, a path is missing, or a directory holds no file of
            this format.
        EventError: a file is damaged.
    """
    try:
        import polars as pl
    except ModuleNotFoundError as error:
        raise ConfigError(
            "the format `kuairand` needs polars, which is not installed",
            code="missing_package",
            hint='pip install "xfeed[data]"',
        ) from error
    interactions, videos, users = [], [], []
    for path in _files(paths):
        try:
            if path.suffix == ".csv":
                frame = pl.read_csv(path, infer_schema_length=None)
            else:
                frame = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise EventError(
                f"`{path}` cannot be read as {path.suffix or 'parquet'}: {error}",
                code="damaged_file",
                hint="fetch the file again",
            ) from error
        content = set(frame.columns)
        frame = frame.with_row_index("line", offset=1).with_columns(source=pl.lit(path.name))
        if content >= {"is_click", "user_id", "video_id", "time_ms"}:
            interactions.append(frame)
        elif content >= {"upload_dt", "video_id", "author_id"}:
            videos.append(frame)
        elif content >= {"register_days", "user_id"}:
            users.append(frame)
        else:
            _log.warning("left out `%s`: it has no interactions, videos or users", path)
    return _distinct(interactions, videos), videos, users


def _files(paths: Sequence[Path]) -> list[Path]:
    """Returns the files that the user named, looking into directories."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted({file for pattern in _PATTERNS for file in path.glob(pattern)})
            if not found:
                raise ConfigError(
                    f"`{path}` holds no file of the format `kuairand`",
                    code="no_such_file",
                    hint=f"it should hold some of: {', '.join(_PATTERNS)}",
                )
            files += found
        elif path.exists():
            files.append(path)
        else:
            raise no_such_file(path)
    return files


def _distinct(
    interactions: "list[pl.DataFrame]", videos: "list[pl.DataFrame]"
) -> "pl.DataFrame | None":
    """Joins all interactions, each row once, with an author and in order of time."""
    import polars as pl

    if not interactions:
        return None
    rows = pl.concat(interactions, how="diagonal_relaxed")
    values = sorted(set(rows.columns) - {"line", "source"})
    rows = rows.unique(subset=values, keep="first", maintain_order=True)
    if "author_id" not in rows.columns:
        rows = rows.with_columns(author_id=pl.lit(None, pl.Int64))
    for frame in videos:
        known = frame.select(pl.col("video_id"), known_author=pl.col("author_id"))
        rows = rows.join(
            known.unique("video_id", keep="first", maintain_order=True),
            on="video_id",
            how="left",
            maintain_order="left",
        )
        rows = rows.with_columns(pl.coalesce("author_id", "known_author")).drop("known_author")
    return rows.sort("time_ms", "user_id", "video_id", *values, maintain_order=True)
