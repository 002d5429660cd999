"""Embedding tables while training: rows in Rust, of which a step touches a few.

A step gathers the distinct rows that its ids hash to, differentiates with respect to these rows
alone, and updates them with row-wise AdaGrad. Row 0 is padding: it stays zero. Torch never sees a
whole table.
"""

import math
import os
from collections.abc import Mapping
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from xfeed.embeddings import EmbeddingTable
from xfeed.errors import ConfigError
from xfeed.phoenix.batch import PostColumns
from xfeed.phoenix.config import PhoenixConfig, TrainConfig
from xfeed.phoenix.features import duration_bucket, media_index
from xfeed.phoenix.hashes import HashConfig, hash_family
from xfeed.phoenix.learning.row_adagrad import RowAdagrad
from xfeed.phoenix.model.inputs import PostInputs, post_keys

BLOCK_ROWS: Final = 1 << 14
"""Fresh rows that are drawn together."""


class RowTable:
    """One table and its optimizer.

    Args:
        table: the rows.
        optimizer: moves them; None for a table that is only read.
    """

    def __init__(self, table: EmbeddingTable, optimizer: RowAdagrad | None = None) -> None:
        self.table = table
        self.optimizer = optimizer
        self._touched: tuple[npt.NDArray[np.uint32], Tensor] | None = None

    @classmethod
    def fresh(cls, n_rows: int, width: int, train: TrainConfig, generator: torch.Generator) -> Self:
        """A table to start training from: random rows, row 0 zero.

        Args:
            n_rows: rows, row 0 being padding.
            width: width of a row (W).
            train: spread of the rows, and how they forget.
            generator: source of randomness.
        """
        table = EmbeddingTable.zeros(n_rows, width)
        for start in range(0, n_rows, BLOCK_ROWS):
            n = min(BLOCK_ROWS, n_rows - start)
            rows = torch.randn(n, width, generator=generator).mul_(train.table_init_std)
            if start == 0:
                rows[0] = 0
            table.core.write(start, rows.numpy())
        optimizer = RowAdagrad(
            table,
            half_life_steps=train.table_half_life_steps,
            weight_decay=train.table_weight_decay,
            lazy_decay=train.table_lazy_decay,
        )
        return cls(table, optimizer)

    def lookup(self, index: Tensor, *, training: bool) -> Tensor:
        """Rows (..., W) of an index (...); when training, remembers them for `step`."""
        if not training:
            return self._gather(index.flatten().numpy().astype(np.uint32)).view(
                *index.shape, self.table.width
            )
        distinct, place = torch.unique(index, return_inverse=True)
        rows = distinct.numpy().astype(np.uint32)
        leaf = self._gather(rows).requires_grad_()
        self._touched = (rows, leaf)
        return functional.embedding(place, leaf)

    def _gather(self, rows: npt.NDArray[np.uint32]) -> Tensor:
        """(n, W) rows, with as many threads as torch may use."""
        found = torch.empty(len(rows), self.table.width)
        self.table.core.gather(rows, found.numpy(), torch.get_num_threads())
        return found

    def gradient_is_usable(self) -> bool:
        """Whether the last look-up's gradient and its square are finite."""
        if self._touched is None or self._touched[1].grad is None:
            return True
        flat = self._touched[1].grad.flatten()
        return math.isfinite(float(flat.dot(flat)))

    def step(self, learning_rate: float) -> None:
        """Updates the rows of the last look-up."""
        if self._touched is None:
            return
        rows, leaf = self._touched
        self._touched = None
        if leaf.grad is not None and self.optimizer is not None:
            self.optimizer.step(rows, leaf.grad.numpy(), rate=learning_rate)

    def forget(self) -> None:
        """Drops the last look-up, after a step that must not be taken."""
        self._touched = None


def hash_rows(ids: npt.NDArray[np.uint64], hashed: HashConfig) -> npt.NDArray[np.uint32]:
    """(n, H) table rows of ids; id 0 gives row 0."""
    rows = np.empty((len(ids), hashed.n_functions), dtype=np.uint32)
    hash_family(hashed).rows(np.ascontiguousarray(ids), hashed.n_rows, rows)
    return rows


class TrainingTables:
    """All tables of one model, and the rows that every post and viewer of a data set owns.

    Args:
        config: hashes and widths.
        posts: every post of the data set.
        tables: one for each of ``config.hashes``.
    """

    def __init__(
        self, config: PhoenixConfig, posts: PostColumns, tables: Mapping[str, RowTable]
    ) -> None:
        self.config = config
        self.tables = tables
        self._item = _index(posts.post_key, config.item)
        self._author = _index(posts.author_key, config.author)
        self._keys = post_keys(posts)
        if config.post_features:
            assert config.language is not None
            assert config.topic is not None
            self._media = torch.from_numpy(media_index(posts.media_kind))
            self._duration = torch.from_numpy(duration_bucket(posts.duration_ms))
            self._language = _index(posts.language_key, config.language)
            topics = _index(posts.topic_keys.reshape(-1), config.topic)
            self._topic = topics.view(len(posts), -1, config.topic.n_functions)

    @classmethod
    def fresh(
        cls,
        config: PhoenixConfig,
        posts: PostColumns,
        train: TrainConfig,
        generator: torch.Generator,
    ) -> Self:
        """Random tables to start training from.

        Raises:
            ConfigError: they do not fit into memory.
        """
        check_memory(config)
        tables = {
            name: RowTable.fresh(hashed.n_rows, config.table_width, train, generator)
            for name, hashed in config.hashes.items()
        }
        return cls(config, posts, tables)

    def posts(
        self, rows: Tensor, *, training: bool = False, blank: Tensor | None = None
    ) -> PostInputs:
        """Looks posts up.

        Args:
            rows: (U,) distinct rows of the data set's posts.
            training: whether a `step` follows.
            blank: (U,) posts whose id rows are left out, or None.
        """
        item = self._item[rows]
        if blank is not None:
            item = item.masked_fill(blank[:, None], 0)
        look = {"training": training}
        item_rows = torch.zeros(len(rows), 0)
        if self.config.item_rows:
            item_rows = self.tables["item"].lookup(item, **look).flatten(1)
        author_rows = self.tables["author"].lookup(self._author[rows], **look).flatten(1)
        keys = self._keys.take(rows)
        if not self.config.post_features:
            return PostInputs(item_rows, author_rows, keys=keys, item_hash=item[:, 0])
        topics = self.tables["topic"].lookup(self._topic[rows], **look)  # (U, 4, Ht, W)
        language = self.tables["language"].lookup(self._language[rows], **look)
        return PostInputs(
            item_rows,
            author_rows,
            self._media[rows],
            self._duration[rows],
            language.flatten(1),
            topics.sum(1).flatten(1),
            keys,
        )

    def viewers(
        self,
        keys: npt.NDArray[np.uint64],
        *,
        training: bool = False,
        blank: Tensor | None = None,
    ) -> Tensor:
        """Looks viewers up: (B, Hu * W), or (B, 0) where viewers have no rows."""
        if not self.config.user_rows:
            return torch.zeros(len(keys), 0)
        index = _index(keys, self.config.user)
        if blank is not None:
            index = index.masked_fill(blank[:, None], 0)
        return self.tables["user"].lookup(index, training=training).flatten(1)

    def gradients_are_usable(self) -> bool:
        """Whether every table's gradient is."""
        return all(table.gradient_is_usable() for table in self.tables.values())

    def step(self, learning_rate: float) -> None:
        """Updates the touched rows of every table."""
        for table in self.tables.values():
            table.step(learning_rate)

    def forget(self) -> None:
        """Drops the last look-ups."""
        for table in self.tables.values():
            table.forget()


def check_memory(config: PhoenixConfig) -> None:
    """Refuses tables that cannot be held beside the two numbers that training keeps per row.

    Raises:
        ConfigError: more than this machine's memory is needed.
    """
    n_rows = sum(hashed.n_rows for hashed in config.hashes.values())
    needed = n_rows * (config.table_width + 2) * 4
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        raise ConfigError(
            f"the embedding tables need `{needed / 2**30:.1f}` GiB, this machine has "
            f"`{memory / 2**30:.1f}`",
            code="too_large",
            hint="choose a smaller preset, or one with fewer table rows",
        )


def _index(ids: npt.NDArray[np.uint64], hashed: HashConfig) -> Tensor:
    """(n, H) table rows of ids as a torch index."""
    return torch.from_numpy(hash_rows(ids, hashed).astype(np.int64))
