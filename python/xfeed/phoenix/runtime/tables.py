"""Embedding rows of requests, read from the tables of a bundle through the Rust core."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xfeed import _core
from xfeed.phoenix.batch import MAX_TOPICS, PostColumns
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.features import duration_bucket, media_index
from xfeed.phoenix.hashes import hash_family
from xfeed.phoenix.model.inputs import PostInputs, post_keys


@dataclass(frozen=True, slots=True)
class ServingTables:
    """Embedding tables of one model.

    Attributes:
        config: hashes and widths.
        tables: rows by name; owned, or mapped from the bundle's file.
        families: hash functions by name.
        pinned: whether rows are gathered into memory that a GPU can read by itself.
        threads: threads that gather the rows of one request.
    """

    config: PhoenixConfig
    tables: Mapping[str, _core.EmbeddingTable]
    families: Mapping[str, _core.HashFamily]
    pinned: bool
    threads: int

    @classmethod
    def of(
        cls,
        config: PhoenixConfig,
        tables: Mapping[str, _core.EmbeddingTable],
        *,
        pinned: bool,
        threads: int,
    ) -> Self:
        """Takes a bundle's tables."""
        families = {name: hash_family(hashed) for name, hashed in config.hashes.items()}
        return cls(config, tables, families, pinned, threads)

    def rows(self, name: str, ids: npt.NDArray[np.uint64]) -> Tensor:
        """(n, H * W) rows of ids side by side; zero for id 0, (n, 0) without such a table."""
        if name not in self.tables:
            return torch.empty((len(ids), 0))
        table = self.tables[name]
        width = self.config.hashes[name].n_functions * table.width
        out = torch.empty((len(ids), width), dtype=torch.float32, pin_memory=self.pinned)
        ids = np.ascontiguousarray(ids)
        table.gather_hashed(self.families[name], ids, out.numpy(), threads=self.threads)
        return out

    def posts(self, posts: PostColumns) -> PostInputs:
        """Looks posts up."""
        item = self.rows("item", posts.post_key)
        author = self.rows("author", posts.author_key)
        if not self.config.post_features:
            return PostInputs(item, author, keys=post_keys(posts))
        topics = self.rows("topic", posts.topic_keys.reshape(-1))
        return PostInputs(
            item,
            author,
            torch.from_numpy(media_index(posts.media_kind)),
            torch.from_numpy(duration_bucket(posts.duration_ms)),
            self.rows("language", posts.language_key),
            topics.view(len(posts), MAX_TOPICS, -1).sum(1),
            post_keys(posts),
        )
