"""Both models on their device: inputs in, plain arrays out.

The transformer runs in Rust or in torch; the small parts around it, the inputs and the heads,
are the models' own code either way, so there is one definition of what is computed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from xfeed import _core
from xfeed.phoenix.batch import PostColumns
from xfeed.phoenix.bundles.layout import Tensors
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.model.native import NativeTransformer
from xfeed.phoenix.model.ranker import Ranker, RankerContext
from xfeed.phoenix.model.retrieval import Retrieval
from xfeed.phoenix.options import RuntimeOptions
from xfeed.phoenix.runtime.contexts import owned
from xfeed.phoenix.runtime.devices import TORCH_DTYPES, checked_device, joined, moved
from xfeed.phoenix.runtime.heads import HeadMap
from xfeed.phoenix.runtime.requests import Candidates, KnownHistory
from xfeed.phoenix.runtime.tables import ServingTables

POST_CHUNK: Final = 8_192
"""Posts whose vectors are computed together; bounds memory, changes no vector."""

ROWS: Final = 32
"""Rows are filled up to a multiple of this before torch computes with them.

Matrix libraries sum very few rows in another order, and vector loops treat a rest that fills no
vector in another way. With whole blocks a row's result does not depend on how many others there
are (measured with torch on x86; a test holds it), so that kept scores equal fresh ones.
"""

CONTEXT_PADS: Final = {
    "keys": 2, "values": 2, "valid": 1, "post": 1, "author": 1, "topics": 1, "facts": 1,
}  # fmt: skip
"""Axes of the history in a context of torch, by field."""


class _Engine:
    """What both models share: a device, a precision, tables.

    Args:
        model: the model, without its parameters.
        config: its shape.
        tensors: its parameters, as in the bundle.
        tables: its embedding tables.
        options: how to run it.
    """

    def __init__(
        self,
        model: Ranker | Retrieval,
        config: PhoenixConfig,
        tensors: Tensors,
        tables: Mapping[str, _core.EmbeddingTable],
        options: RuntimeOptions,
    ) -> None:
        self.config = config
        self.device = checked_device(options)
        # only the trunk is computed in half precision; tokens and heads are not
        self.dtype = torch.float64 if options.dtype == "float64" else torch.float32
        self.tables = ServingTables.of(
            config, tables, pinned=self.device.type == "cuda", threads=options.threads
        )
        _fill(model, tensors)
        model.to(self.device, self.dtype)
        if options.chosen_engine == "native":
            assert options.dtype != "float64"
            model.trunk = NativeTransformer(
                model.transformer, dtype=options.dtype, threads=options.threads
            )
            # they are packed; a second copy of all parameters would be gigabytes
            model.transformer.layers = nn.ModuleList()
            return
        model.transformer.to(TORCH_DTYPES[options.dtype])
        model.transformer.fuse()
        if options.compile and self.device.type == "cuda":
            model.transformer.compile(dynamic=True)


class RankerEngine(_Engine):
    """The ranker.

    Args:
        config: its shape.
        tensors: its parameters.
        tables: its embedding tables.
        heads: what its heads mean.
        options: how to run it.
    """

    def __init__(
        self,
        config: PhoenixConfig,
        tensors: Tensors,
        tables: Mapping[str, _core.EmbeddingTable],
        heads: HeadMap,
        options: RuntimeOptions,
    ) -> None:
        self._model = Ranker(config)
        super().__init__(self._model, config, tensors, tables, options)
        self._heads = heads
        self._is_native = options.chosen_engine == "native"
        self._is_exact_alone = options.group_len == 1 and self.device.type == "cpu"

    @property
    def is_exact(self) -> bool:
        """Whether a candidate's scores have the same bits now, whatever is computed beside it.

        Torch splits work among threads by its size, a GPU's matrix library chooses its order of
        sums by it, and a group pads its histories; so their last bits differ, and kept scores
        would not equal fresh ones. The number of torch's threads belongs to the process and may
        change at any time.
        """
        return self._is_native or (self._is_exact_alone and torch.get_num_threads() == 1)

    @property
    def purpose(self) -> bytes:
        """Tells contexts apart whose bits differ: torch's depend on its number of threads."""
        return b"context" if self._is_native else b"context%d" % torch.get_num_threads()

    def encode(self, history: KnownHistory) -> RankerContext:
        """Encodes one viewer."""
        inputs = history.inputs(self.tables, self._heads)
        with torch.inference_mode():
            return owned(self._model.encode_context(*moved(inputs, self.device, self.dtype)))

    def score(
        self, contexts: Sequence[RankerContext], parts: Sequence[Candidates]
    ) -> list[npt.NDArray[np.float32]]:
        """Scores candidates of several viewers.

        Where positions follow slots, every candidate takes the first one, so that its scores do
        not depend on its place among the others.

        Args:
            contexts: one per viewer.
            parts: candidates of each viewer, at least one.

        Returns:
            (C, 27) for each viewer, in the order of the action table; NaN where no head is.
        """
        n_rows = _whole(max(len(part) for part in parts))
        places = np.zeros((len(parts), n_rows), dtype=np.int64)
        start = 0
        for place, part in zip(places, parts, strict=True):
            place[: len(part)] = np.arange(start, start + len(part))
            # behind a single request's candidates stand the absent posts that fill the block
            place[len(part) :] = np.arange(len(part), n_rows) if len(parts) == 1 else 0
            start += len(part)
        candidates = joined([part.inputs(n_rows) for part in parts], {})
        candidates = replace(candidates, post=torch.from_numpy(places))
        posts = self.tables.posts(_filled(PostColumns.concat([part.posts for part in parts])))
        with torch.inference_mode():
            context = joined(contexts, CONTEXT_PADS)
            posts, candidates = moved((posts, candidates), self.device, self.dtype)
            scores = self._model.score_candidates(context, posts, candidates, None)
            seconds = self._model.seconds(scores, candidates).float().cpu()
            logits = scores.logits.float().cpu()
        return [
            self._heads.spread(logits[i, : len(part)], seconds[i, : len(part)])
            for i, part in enumerate(parts)
        ]


class RetrievalEngine(_Engine):
    """Both towers.

    Args:
        config: their shape.
        tensors: their parameters.
        tables: their embedding tables.
        heads: what the columns of actions mean.
        options: how to run them.
    """

    def __init__(
        self,
        config: PhoenixConfig,
        tensors: Tensors,
        tables: Mapping[str, _core.EmbeddingTable],
        heads: HeadMap,
        options: RuntimeOptions,
    ) -> None:
        self._model = Retrieval(config)
        super().__init__(self._model, config, tensors, tables, options)
        self._heads = heads

    def user_vector(self, history: KnownHistory) -> npt.NDArray[np.float32]:
        """(D,) vector of a viewer."""
        inputs = history.inputs(self.tables, self._heads)
        with torch.inference_mode():
            vector, _ = self._model.user_vectors(*moved(inputs, self.device, self.dtype))
            return _plain(vector[0])

    def post_vectors(self, posts: PostColumns) -> npt.NDArray[np.float32]:
        """(N, D) vectors of posts."""
        out = np.empty((len(posts), self.config.emb_size), dtype=np.float32)
        for start in range(0, len(posts), POST_CHUNK):
            rows = np.arange(start, min(start + POST_CHUNK, len(posts)))
            inputs = self.tables.posts(_filled(posts.take(rows)))
            with torch.inference_mode():
                vectors = self._model.post_vectors(moved(inputs, self.device, self.dtype))
            out[rows] = _plain(vectors[: len(rows)])
        return out


def _plain(values: torch.Tensor) -> npt.NDArray[np.float32]:
    """A tensor as an array on the CPU."""
    array: npt.NDArray[np.float32] = values.float().cpu().numpy()
    return array


def _whole(n_rows: int) -> int:
    """The next multiple of `ROWS`."""
    return -(-n_rows // ROWS) * ROWS


def _filled(posts: PostColumns) -> PostColumns:
    """Whole blocks of posts, absent ones behind."""
    n_absent = _whole(len(posts)) - len(posts)
    return PostColumns.concat([posts, PostColumns.zeros(n_absent)]) if n_absent else posts


def _fill(model: nn.Module, tensors: Tensors) -> None:
    """Copies a bundle's parameters into a model and freezes it."""
    state = {
        name.removeprefix("model."): torch.from_numpy(values)
        for name, values in tensors.items()
        if name.startswith("model.")
    }
    model.load_state_dict(state)
    model.requires_grad_(requires_grad=False)
    model.eval()
