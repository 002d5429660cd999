"""The corpus of a checkpoint: posts whose vectors are ready to be searched.

In a bundle it is one safetensors file with the tensors below. Topics are names that many posts
share, so a post holds a number and the names stand once, as a JSON list in bytes.

* ``post_ids`` and ``author_ids``: U64 (N,);
* ``vectors``: F32 (N, D), as published;
* ``topics``: I32 (N,) and ``topic_names``: U8; both may be missing.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from xfeed.errors import BundleError
from xfeed.phoenix.bundles.tensor_file import NUMPY_DTYPES, Entry, read_header, strict_json

MAX_TOPIC_NAMES: Final = 2**20
"""Different topics that a corpus may have."""

MAX_TOPIC_CHARS: Final = 2**24
"""Characters that the names of all topics may have together."""


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
