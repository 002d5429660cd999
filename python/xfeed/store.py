"""Thunder alone: recent posts by author, asked for the newest posts of the accounts one follows.

    store = xfeed.PostStore()
    store.insert_many(post_ids, author_ids, created_ms)
    page = store.newest(following, now_ms=now_ms)
    page.post_id, page.created_ms

The store is written in Rust; here arrays are checked and defaults are looked up, nothing else.
docs/store.md says what a post, a reply or a repost is, and which of them are shown.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from xfeed import _core, store_file
from xfeed.errors import ConfigError, RateLimitError
from xfeed.ids import to_u64
from xfeed.store_columns import (
    InsertReport,
    Newest,
    check_lengths,
    column,
    optional,
    payloads,
    related_columns,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    import numpy.typing as npt

    from xfeed.config import StoreConfig
    from xfeed.store_columns import Column

MAX_CLIENTS: Final = 65_536
"""Clients that the rate limit tells apart at once."""


class PostStore:
    """Recent posts of everybody, in memory. Any number of threads may use one store.

    A read waits for at most 256 rows of a write, and no call holds the interpreter lock while it
    works. Equal posts and deletes give equal answers, whatever the order and the batches in which
    they came.

    Args:
        retention_ms: posts older than this are forgotten, milliseconds; two days by default.
        settings: fields of `xfeed.config.StoreConfig` that differ from their defaults, such as
            `max_bytes`, `max_posts_per_timeline`, `hidden_authors`, `max_future_ms`, `qps_limit`
            and the limits of a read. docs/store.md lists them.

    Raises:
        ConfigError: naming the setting, the value and what is allowed.

    Example:
        >>> store = PostStore()
        >>> store.insert_many([1, 2, 3], [7, 7, 8], [1_000, 2_000, 3_000]).counts
        {'added': 3}
        >>> store.newest([7], now_ms=5_000).post_id.tolist()
        [2, 1]
    """

    def __init__(self, *, retention_ms: int | None = None, **settings: Any) -> None:
        self._config, self._retention_ms = _settings(retention_ms, settings)
        self._store = _core.PostStore(**self._arguments())
        self._limiter = (
            _core.RateLimiter(per_second=self._config.qps_limit, max_clients=MAX_CLIENTS)
            if self._config.qps_limit
            else None
        )

    def _arguments(self) -> dict[str, Any]:
        config = self._config
        return {
            "retention_ms": self._retention_ms,
            "max_posts_per_timeline": config.max_posts_per_timeline,
            "max_bytes": config.max_bytes or store_file.NO_LIMIT,
            "hidden_authors": [to_u64(author) for author in config.hidden_authors],
        }

    @property
    def config(self) -> StoreConfig:
        """Every setting but `retention_ms`, which has its own property."""
        return self._config

    @property
    def retention_ms(self) -> int:
        """Posts older than this are forgotten, milliseconds."""
        return self._retention_ms

    def insert_many(
        self,
        post_id: Column,
        author_id: Column,
        created_ms: Column,
        kind: Column | None = None,
        *,
        media_kind: Column | None = None,
        media_duration_ms: Column | None = None,
        now_ms: int | None = None,
        **related: Column,
    ) -> InsertReport:
        """Adds posts. A bad row costs exactly that row; the first post of an id stands.

        Args:
            post_id: uint64 `(n,)`.
            author_id: uint64 `(n,)`.
            created_ms: int64 `(n,)`, unix milliseconds, 0 to 2^48 - 1.
            kind: uint8 `(n,)`, as in `Newest`; read from the other columns when None. Needed only
                for replies of which neither the post nor the author that they answer is known.
            media_kind: uint8 `(n,)`, position in `xfeed._core.media_kinds()`: 0 none, 1 photo,
                2 video, 3 animation, 4 audio.
            media_duration_ms: uint32 `(n,)`, 0 where unknown.
            now_ms: the present. Posts more than `max_future_ms` after it and posts older than the
                retention are refused. When None the time of the newest post stands for it and
                nothing is too new: a wrong time far ahead makes all others too old.
            **related: `reply_to_id`, `reply_to_author_id`, `root_id`, `root_author_id`,
                `repost_of_id`, `repost_of_author_id`, `quote_of_id`, `quote_of_author_id`: uint64
                `(n,)`. Where only some posts have one, a `numpy.ma.MaskedArray` whose mask is true
                where there is none; every id is ordinary, 0 too.

        Returns:
            Counts, and the refused rows with their reasons.

        Raises:
            ShapeError: when an array has another dtype, length or order.
        """
        columns: dict[str, Any] = {
            "post_id": column(post_id, np.uint64, "post_id"),
            "author_id": column(author_id, np.uint64, "author_id"),
            "created_ms": column(created_ms, np.int64, "created_ms"),
            "kind": optional(kind, np.uint8, "kind"),
            "media_kind": optional(media_kind, np.uint8, "media_kind"),
            "media_duration_ms": optional(media_duration_ms, np.uint32, "media_duration_ms"),
            **related_columns(related),
        }
        check_lengths(columns)
        return InsertReport(*self._store.insert_many(columns, **self._door(now_ms)))

    def insert_json(self, lines: Sequence[bytes], *, now_ms: int | None = None) -> InsertReport:
        """Applies events of docs/events.md given as JSON lines: posts, edits, deletes, undeletes.

        Args:
            lines: one event each.
            now_ms: as in `insert_many`.
        """
        return InsertReport(*self._store.insert_json(payloads(lines), **self._door(now_ms)))

    def insert_protobuf(
        self, messages: bytes | Sequence[bytes], *, now_ms: int | None = None
    ) -> InsertReport:
        """Applies events given as protobuf messages (docs/xfeed.proto), as `insert_json`.

        Args:
            messages: a sequence with one `Event` each, or one buffer in which each comes after its
                length as a varint. A damaged length ends the buffer: nobody knows where the next
                message starts.
            now_ms: as in `insert_many`.
        """
        door = self._door(now_ms)
        if isinstance(messages, bytes):
            return InsertReport(*self._store.insert_delimited(messages, **door))
        return InsertReport(*self._store.insert_protobuf(payloads(messages), **door))

    def delete_many(self, post_id: Column, at_ms: Column) -> None:
        """Deletes posts, known or not: a post that comes after its delete stays hidden.

        Args:
            post_id: uint64 `(n,)`.
            at_ms: int64 `(n,)`, when the delete was said, unix milliseconds. Of a delete and an
                undelete the later one holds, and the delete when both are of one millisecond.

        Raises:
            ShapeError: as `insert_many`.
        """
        self._set_deleted(post_id, at_ms, deleted=True)

    def undelete_many(self, post_id: Column, at_ms: Column) -> None:
        """Takes deletes back; arguments and errors as in `delete_many`."""
        self._set_deleted(post_id, at_ms, deleted=False)

    def _set_deleted(self, post_id: Column, at_ms: Column, *, deleted: bool) -> None:
        posts = column(post_id, np.uint64, "post_id")
        self._store.set_deleted(posts, column(at_ms, np.int64, "at_ms"), deleted)

    def newest(
        self,
        following: Column,
        *,
        now_ms: int,
        viewer: int | None = None,
        excluded: Column | None = None,
        max_results: int = 0,
        videos_only: bool = False,
        max_originals_per_author: int | None = None,
        max_secondary_per_author: int | None = None,
        max_videos_per_author: int | None = None,
        deadline_ms: int | None = None,
        seed: int = 0,
        client: str = "",
    ) -> Newest:
        """The newest posts of some accounts, made within the retention until `now_ms`.

        Args:
            following: uint64 `(f,)`, accounts in any order.
            now_ms: the moment of the request, unix milliseconds.
            viewer: who asks: reposts of the viewer's own posts are left out.
            excluded: uint64 `(e,)`, posts that are not returned and use up no limit.
            max_results: most posts; 0 is the setting `max_results`, or `max_videos` for videos.
            videos_only: only posts with a video and reposts of them.
            max_originals_per_author: most originals and quotes of one account; the setting when
                None.
            max_secondary_per_author: most replies and reposts of one account.
            max_videos_per_author: most posts of one account when only videos are asked for.
            deadline_ms: after so long the answer is what was found, and says so in `partial`.
            seed: which account is read first: with another seed for each request a deadline does
                not always leave out the same accounts.
            client: who is counted by `qps_limit`.

        Raises:
            ShapeError: as `insert_many`.
            RateLimitError: when `client` asks more often than `qps_limit`.
        """
        self._count_request(client)
        config = self._config
        default = config.max_videos if videos_only else config.max_results
        found = self._store.newest(
            column(following, np.uint64, "following"),
            viewer=whole(viewer, "viewer"),
            excluded=optional(excluded, np.uint64, "excluded"),
            now_ms=now_ms,
            videos_only=videos_only,
            max_results=whole(max_results, "max_results") or default,
            max_originals_per_author=_or(
                whole(max_originals_per_author, "max_originals_per_author"),
                config.max_originals_per_author,
            ),
            max_secondary_per_author=_or(
                whole(max_secondary_per_author, "max_secondary_per_author"),
                config.max_secondary_per_author,
            ),
            max_videos_per_author=_or(
                whole(max_videos_per_author, "max_videos_per_author"), config.max_videos_per_author
            ),
            max_scan_per_author=config.max_scan_per_author,
            deadline_ms=whole(deadline_ms, "deadline_ms"),
            seed=whole(seed, "seed") or 0,
        )
        return Newest(**found)

    def _count_request(self, client: str) -> None:
        if self._limiter is None:
            return
        wait_ns = self._limiter.check(client, time.monotonic_ns())
        if wait_ns is not None:
            wait = wait_ns / 1e9
            raise RateLimitError(
                f"client `{client}` asks more than {self._config.qps_limit} times a second",
                retry_after_secs=wait,
                hint=f"ask again in {wait:.6f} seconds",
            )

    def get(self, post_id: int) -> dict[str, Any] | None:
        """One live post by the names of its columns; None when it is not there or deleted."""
        return self._store.get(post_id)

    def post_ids(self) -> npt.NDArray[np.uint64]:
        """Every live post, uint64 `(n,)`, ascending."""
        return self._store.post_ids()

    def was_deleted(self, post_id: int) -> bool:
        """Whether the store knows that the post was deleted."""
        return self._store.was_deleted(post_id)

    def __len__(self) -> int:
        """Number of live posts."""
        return len(self._store)

    def counts(self) -> dict[str, int]:
        """How much there is, and what went for which reason."""
        return self._store.counts()

    @property
    def used_bytes(self) -> int:
        """Bytes that the store has allocated."""
        return self._store.used_bytes

    def digest(self) -> str:
        """Hash of the whole state, in hexadecimal: equal states have equal hashes."""
        return self._store.digest()

    def clear(self) -> None:
        """Forgets everything, deletes too."""
        self._store.clear()

    def trim(self, now_ms: int) -> None:
        """Forgets what is older than the retention at `now_ms`, in pieces that readers get between.

        Inserts do this by themselves as time goes on.
        """
        self._store.trim(now_ms)

    def save(self, path: str | PathLike[str], offsets: Mapping[str, int] | None = None) -> None:
        """Writes the state to a file. Reads go on meanwhile, writes wait until it is captured.

        The file is written beside `path`, forced to the disk, loaded and compared with the state,
        and only then gets its name: a crash or a full disk leaves what was there before.

        Args:
            path: the file; one that is there is replaced.
            offsets: where the logs stand that the posts came from, 0 to 2^64 - 1 each; they come
                back from `offsets_of`.

        Raises:
            StoreError: when it cannot be written or does not check out.
        """
        store_file.save(self._store, self._arguments(), path, dict(offsets or {}))

    @classmethod
    def load(cls, path: str | PathLike[str], **settings: Any) -> PostStore:
        """The store that `save` wrote.

        Args:
            path: the file.
            settings: as for the class. What decides the state (`retention_ms`,
                `max_posts_per_timeline`, `max_bytes`) comes from the file when it is left out, and
                must be what the store was made with when it is given.

        Raises:
            StoreError: naming the file, the byte and the section where it is damaged, or the
                setting that differs.
            ConfigError: as the class.
        """
        store = cls(**(store_file.settings_of(path) | settings))
        store._store = store_file.load(path, store._arguments())
        return store

    @staticmethod
    def offsets_of(path: str | PathLike[str]) -> dict[str, int]:
        """The offsets that a file was saved with.

        Raises:
            StoreError: as `load`, but only the beginning of the file is looked at.
        """
        return store_file.offsets_of(path)

    def _door(self, now_ms: int | None) -> dict[str, Any]:
        return {"now_ms": now_ms, "max_future_ms": self._config.max_future_ms}


def _settings(retention_ms: int | None, given: Mapping[str, Any]) -> tuple[StoreConfig, int]:
    # pydantic loads with the first store and not with xfeed.
    from xfeed.config import MAX_SECS, store_config

    config = store_config(given)
    if retention_ms is None:
        return config, config.retention_secs * 1000
    if "retention_secs" in given:
        raise ConfigError(
            "`retention_ms` and `retention_secs` are both given",
            code="bad_setting",
            hint="give one of them",
        )
    if isinstance(retention_ms, bool) or not 0 < retention_ms <= MAX_SECS * 1000:
        raise ConfigError(
            f"`retention_ms` is `{retention_ms}`",
            code="bad_setting",
            hint=f"give milliseconds from 1 to {MAX_SECS * 1000}",
        )
    return config, retention_ms


def _or(given: int | None, default: int) -> int:
    return default if given is None else given
