"""The corpus of a checkpoint: posts whose vectors are ready to be searched.

In a bundle it is one safetensors file with the tensors below. Topics are names that many posts
share, so a post holds a number and the names stand once, as a JSON list in bytes.

* ``post_ids`` and ``author_ids``: U64 (N,);
* ``vectors``: F32 (N, D), as published;
* ``topics``: I32 (N,) and ``topic_names``: U8; both may be missing.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from xfeed.errors import BundleError
from xfeed.phoenix.bundles.table_streams import check_finite
from xfeed.phoenix.bundles.tensor_file import NUMPY_DTYPES, Entry, Stream, read_header, strict_json
from xfeed.phoenix.published.npz import Npz

MAX_TOPIC_NAMES: Final = 2**20
"""Different topics that a corpus may have."""

MAX_TOPIC_CHARS: Final = 2**24
"""Characters that the names of all topics may have together."""

MAX_POSTS: Final = 2**27
"""Posts that a published corpus may have; the release has half a million."""

LAST_CODE_POINT: Final = 0x10FFFF
SURROGATES: Final = (0xD800, 0xDFFF)


@dataclass(frozen=True, slots=True)
class Corpus:
    """N posts to search.

    Attributes:
        post_ids: (N,) u64.
        author_ids: (N,) u64.
        vectors: (N, D) f32; mapped when it comes from a file.
        topics: (N,) numbers into `topic_names`; None without topics.
        topic_names: names of topics.
    """

    post_ids: npt.NDArray[np.uint64]
    author_ids: npt.NDArray[np.uint64]
    vectors: npt.NDArray[np.float32]
    topics: npt.NDArray[np.int32] | None
    topic_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.post_ids)

    def topic(self, row: int) -> str:
        """Topic of a post; empty when there is none."""
        return "" if self.topics is None else self.topic_names[self.topics[row]]


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


def check_corpus_header(file: str, header: dict[str, Entry], width: int | None = None) -> None:
    """Refuses a file whose tensors are not those of a corpus.

    Args:
        file: for messages.
        header: from `read_header`.
        width: D of the vectors; None for any.

    Raises:
        BundleError: names the tensor.
    """
    shapes = {name: entry.shape for name, entry in header.items()}
    vectors, ids = shapes.get("vectors", ()), shapes.get("post_ids", ())
    n_posts, found_width = vectors if len(vectors) == 2 else (ids[0] if ids else 0, 0)
    expected = {
        "post_ids": ("U64", (n_posts,)),
        "author_ids": ("U64", (n_posts,)),
        "vectors": ("F32", (n_posts, found_width if width is None else width)),
    }
    if {"topics", "topic_names"} & set(header):
        names = shapes.get("topic_names", ())
        expected["topics"] = ("I32", (n_posts,))
        expected["topic_names"] = ("U8", names if len(names) == 1 else (0,))
    if set(header) != set(expected):
        raise BundleError(
            f"`{file}` has the tensors `{sorted(header)}`, expected `{sorted(expected)}`",
            code="wrong_tensors",
        )
    for name, wanted in expected.items():
        found = (header[name].dtype, header[name].shape)
        if found != wanted:
            raise BundleError(
                f"tensor `{name}` of `{file}` is `{found}`, expected `{wanted}`",
                code="wrong_shape",
            )


def read_corpus(path: Path) -> Corpus:
    """Opens a bundle's corpus; vectors are mapped, the rest is read.

    Raises:
        BundleError: a tensor is missing, of another dtype or shape, or a topic has no name.
    """
    header = read_header(path)
    check_corpus_header(path.name, header)

    def tensor(name: str) -> Any:
        entry = header[name]
        if entry.start == entry.stop:
            return np.zeros(entry.shape, NUMPY_DTYPES[entry.dtype])
        return np.memmap(path, NUMPY_DTYPES[entry.dtype], "r", entry.start, entry.shape)

    topics: npt.NDArray[np.int32] | None = None
    names: tuple[str, ...] = ()
    if "topics" in header:
        topics = np.array(tensor("topics"))
        names = _names(path, bytes(tensor("topic_names")))
        if len(topics) and not (topics.min() >= 0 and topics.max() < len(names)):
            raise BundleError(
                f"tensor `topics` of `{path.name}` lies in `[{topics.min()}, {topics.max()}]`, "
                f"there are `{len(names)}` names",
                code="bad_row",
            )
    return Corpus(
        np.array(tensor("post_ids")),
        np.array(tensor("author_ids")),
        tensor("vectors"),
        topics,
        names,
    )


def _ids(archive: Npz, name: str) -> Iterator[npt.NDArray[np.uint64]]:
    """Ids as u64; a negative number is the same 64 bits, read as signed."""
    for block in archive.blocks(name):
        yield block.astype(np.int64).view(np.uint64)


def _names(path: Path, content: bytes) -> tuple[str, ...]:
    # a character is at most twelve bytes of JSON, and a name has quotes, a comma and a space
    fits = len(content) <= 12 * MAX_TOPIC_CHARS + 4 * MAX_TOPIC_NAMES + 2
    try:
        names = strict_json(content) if fits else None
    except ValueError:
        names = None
    good = isinstance(names, list) and all(map(_is_text, names))
    if not isinstance(names, list) or not good or len(names) > MAX_TOPIC_NAMES:
        raise BundleError(
            f"tensor `topic_names` of `{path.name}` is no JSON list of names", code="bad_file"
        )
    return tuple(names)


def _is_text(name: Any) -> bool:
    """Whether this is text that can be written in UTF-8; JSON can name halves of characters."""
    if not isinstance(name, str):
        return False
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
