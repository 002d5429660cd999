"""The published corpus, an archive of NumPy arrays, as the tensors that a bundle keeps."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from xfeed.errors import BundleError
from xfeed.phoenix.bundles.corpus import MAX_TOPIC_CHARS, MAX_TOPIC_NAMES
from xfeed.phoenix.bundles.table_streams import check_finite
from xfeed.phoenix.bundles.tensor_file import Stream
from xfeed.phoenix.published.npz import Npz

MAX_POSTS: Final = 2**27
"""Posts that a published corpus may have; the release has half a million."""

LAST_CODE_POINT: Final = 0x10FFFF
SURROGATES: Final = (0xD800, 0xDFFF)


def published_corpus(path: Path, width: int) -> dict[str, Stream]:
    """The tensors that keep a published `sports_corpus.npz`, streamed from it.

    Args:
        path: the archive.
        width: D of the retrieval model.

    Raises:
        BundleError: a member is missing, of another shape or dtype, or not finite.
    """
    archive = Npz(path)
    n_posts = archive.require("post_ids", (None,), "iu").shape[0]
    if n_posts > MAX_POSTS:
        raise BundleError(
            f"`{archive.name}` has `{n_posts:,}` posts, at most `{MAX_POSTS:,}` are read",
            code="too_large",
        )
    archive.require("author_ids", (n_posts,), "iu")
    archive.require("candidate_representations", (n_posts, width))
    vectors = archive.table("candidate_representations")

    def blocks() -> Iterator[npt.NDArray[Any]]:
        row = 0
        for block in vectors.blocks():
            check_finite(archive.name, "candidate_representations", block, row)
            row += len(block)
            yield block

    streams = {
        "post_ids": Stream("U64", (n_posts,), lambda: _ids(archive, "post_ids")),
        "author_ids": Stream("U64", (n_posts,), lambda: _ids(archive, "author_ids")),
        "vectors": Stream("F32", (n_posts, width), blocks),
    }
    if "topics" in archive.members:
        names, numbers = _topics(archive, n_posts)
        text = json.dumps(names).encode()
        streams["topics"] = Stream.of(numbers)
        streams["topic_names"] = Stream.of(np.frombuffer(text, np.uint8))
    return streams


def _topics(archive: Npz, n_posts: int) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Names of topics in the order of their code points, and the number (N,) of each post's."""
    member = archive.require("topics", (n_posts,), "U")
    n_chars = member.dtype.itemsize // np.dtype(np.uint32).itemsize
    _check_room(archive, 0, n_chars)
    found: dict[str, int] = {}
    numbers, at, n_chars = np.empty(n_posts, np.int32), 0, 0
    for block in archive.blocks("topics"):
        _check_text(archive, block, at)
        names, places = np.unique(block, return_inverse=True)
        new = [name for name in map(str, names) if name not in found]
        n_chars += sum(map(len, new))
        found |= {name: len(found) + number for number, name in enumerate(new)}
        _check_room(archive, len(found), n_chars)
        known = np.array([found[str(name)] for name in names], np.int32)
        numbers[at : at + len(block)] = known[places.reshape(-1)]
        at += len(block)
    ordered = sorted(found)
    rank = np.empty(len(ordered), np.int32)
    rank[[found[name] for name in ordered]] = np.arange(len(ordered), dtype=np.int32)
    return ordered, rank[numbers]


def _check_room(archive: Npz, n_names: int, n_chars: int) -> None:
    """Refuses topics that no corpus needs."""
    if n_names > MAX_TOPIC_NAMES or n_chars > MAX_TOPIC_CHARS:
        raise BundleError(
            f"`topics` of `{archive.name}` has more than `{MAX_TOPIC_NAMES:,}` names, or more than "
            f"`{MAX_TOPIC_CHARS:,}` characters in them",
            code="too_large",
        )


def _check_text(archive: Npz, block: npt.NDArray[Any], first_row: int) -> None:
    """Refuses numbers that are no characters; Python cannot make text of them."""
    if not block.dtype.itemsize:
        return
    codes = block.view(np.uint32).reshape(len(block), -1)
    bad = (codes > LAST_CODE_POINT) | ((codes >= SURROGATES[0]) & (codes <= SURROGATES[1]))
    if bad.any():
        row, place = (int(at) for at in np.argwhere(bad)[0])
        raise BundleError(
            f"`topics` of `{archive.name}` has the number `{codes[row, place]:#x}` in row "
            f"`{first_row + row}`, which is no character",
            code="bad_value",
        )


def _ids(archive: Npz, name: str) -> Iterator[npt.NDArray[np.uint64]]:
    """Ids as u64; a negative number is the same 64 bits, read as signed."""
    for block in archive.blocks(name):
        yield block.astype(np.int64).view(np.uint64)
