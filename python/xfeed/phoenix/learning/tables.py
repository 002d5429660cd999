"""Embedding tables while training: torch tensors of which a step touches a few rows.

A step gathers the distinct rows that its ids hash to, differentiates with respect to these rows
alone, and updates them with row-wise AdaGrad. Row 0 is padding: it stays zero.
"""

import os

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from xfeed import _core
from xfeed.errors import ConfigError
from xfeed.phoenix.batch import PostColumns
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.features import duration_bucket, media_index
from xfeed.phoenix.hashes import HashConfig
from xfeed.phoenix.learning.row_steps import RowAdagrad, RowRule
from xfeed.phoenix.model.inputs import PostInputs, PostKeys


class RowTable:
    """One table and the state of its optimizer.

    Args:
        n_rows: rows, row 0 being padding.
        width: width of a row (W).
        init_std: spread of fresh rows.
        generator: source of randomness.
        rule: how rows forget.
    """

    def __init__(
        self,
        n_rows: int,
        width: int,
        init_std: float,
        generator: torch.Generator,
        rule: RowRule | None = None,
    ) -> None:
        self.rows = torch.randn(n_rows, width, generator=generator).mul_(init_std)
        self.rows[0] = 0
        self.optimizer = RowAdagrad(self.rows, rule)
        self._touched: tuple[Tensor, Tensor] | None = None

    def lookup(self, index: Tensor, *, training: bool) -> Tensor:
        """Rows (..., W) of an index (...); when training, remembers them for `step`."""
        if not training:
            return functional.embedding(index, self.rows)
        distinct, place = torch.unique(index, return_inverse=True)
        leaf = self.rows[distinct].requires_grad_()
        self._touched = (distinct, leaf)
        return functional.embedding(place, leaf)

    def gradient_is_finite(self) -> bool:
        """Whether the last look-up's gradient is usable."""
        return self._touched is None or (
            self._touched[1].grad is None or bool(self._touched[1].grad.isfinite().all())
        )

    def step(self, learning_rate: float) -> None:
        """Updates the rows of the last look-up."""
        if self._touched is None:
            return
        distinct, leaf = self._touched
        self._touched = None
        if leaf.grad is not None:
            self.optimizer.step(distinct, leaf.grad, learning_rate)

    def forget(self) -> None:
        """Drops the last look-up, after a step that must not be taken."""
        self._touched = None


def hash_rows(ids: npt.NDArray[np.uint64], hashed: HashConfig) -> npt.NDArray[np.uint32]:
    """(n, H) table rows of ids; id 0 gives row 0."""
    rows = np.empty((len(ids), hashed.n_functions), dtype=np.uint32)
    hash_family(hashed).rows(np.ascontiguousarray(ids), hashed.n_rows, rows)
    return rows


def hash_family(hashed: HashConfig) -> _core.HashFamily:
    """The Rust core's form of a hash configuration."""
    return _core.HashFamily(list(hashed.scales), list(hashed.biases), hashed.modulus)


class TrainingTables:
    """All tables of one model, and the rows that every post and viewer of a data set owns.

    Args:
        config: hashes and widths.
        posts: every post of the data set.
        init_std: spread of fresh rows.
        generator: source of randomness.
        rule: how rows forget.

    Raises:
        ConfigError: the tables do not fit into memory.
    """

    def __init__(
        self,
        config: PhoenixConfig,
        posts: PostColumns,
        init_std: float,
        generator: torch.Generator,
        rule: RowRule | None = None,
    ) -> None:
        check_memory(config)
        self.config = config
        self.tables = {
            name: RowTable(hashed.n_rows, config.table_width, init_std, generator, rule)
            for name, hashed in config.hashes.items()
        }
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

    def gradients_are_finite(self) -> bool:
        """Whether every table's gradient is usable."""
        return all(table.gradient_is_finite() for table in self.tables.values())

    def step(self, learning_rate: float) -> None:
        """Updates the touched rows of every table."""
        for table in self.tables.values():
            table.step(learning_rate)

    def forget(self) -> None:
        """Drops the last look-ups."""
        for table in self.tables.values():
            table.forget()


def check_memory(config: PhoenixConfig) -> None:
    """Refuses tables that cannot be held beside their gradients' sums.

    Raises:
        ConfigError: more than this machine's memory is needed.
    """
    n_rows = sum(hashed.n_rows for hashed in config.hashes.values())
    needed = n_rows * (config.table_width + 1) * 4
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        raise ConfigError(
            f"the embedding tables need `{needed / 2**30:.1f}` GiB, this machine has "
            f"`{memory / 2**30:.1f}`",
            code="too_large",
            hint="choose a smaller preset, or one with fewer table rows",
        )


def post_keys(posts: PostColumns) -> PostKeys:
    """Keys of posts as torch integers; the same bits, read as signed."""
    columns = (posts.post_key, posts.author_key, posts.topic_keys)
    return PostKeys(*(torch.from_numpy(column.view(np.int64)) for column in columns))


def _index(ids: npt.NDArray[np.uint64], hashed: HashConfig) -> Tensor:
    """(n, H) table rows of ids as a torch index."""
    return torch.from_numpy(hash_rows(ids, hashed).astype(np.int64))
