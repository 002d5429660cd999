"""Finds what can be run below the given paths."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeGuard

CHECKPOINT_PARTS: Final = ("ranker", "retrieval", "expected.npz")
"""What a folder must hold to be a checkpoint with its expected output."""

CHECKPOINT_NOTES: Final = frozenset({"config.json", "example_sequence.json"})
"""JSON of a checkpoint that is no case file; the check of the checkpoint reads it."""

CASE_KEYS: Final = frozenset({"area", "case", "input", "expected"})
CASE_EXTRAS: Final = frozenset({"why", "xfeed", "xfeed_why"})


class Case(NamedTuple):
    """One case of a case file.

    Attributes:
        area: what it is about.
        name: its name.
        given: its input.
        expected: the results that must hold.
    """

    area: str
    name: str
    given: Any
    expected: dict[str, Any]


class Golden(NamedTuple):
    """Golden numbers of a model: an npz file, or the folder of a checkpoint."""

    path: Path


class Unreadable(NamedTuple):
    """Something that is neither.

    Attributes:
        name: the file, or the case in it.
        why: what is wrong with it.
    """

    name: str
    why: str


Found = Case | Golden | Unreadable


def find(paths: Sequence[Path]) -> Iterator[Found]:
    """Finds every case and every golden file, each once.

    Args:
        paths: files and folders.

    Yields:
        What was found, in the order of the given paths and, below a folder, by name. A path that
        is not there is `Unreadable`.
    """
    met: set[Path] = set()
    for path in paths:
        if not path.exists():
            yield Unreadable(str(path), "there is no such file or folder")
            continue
        for file in _walk(path):
            if isinstance(file, Unreadable):
                yield file
            elif (target := file.resolve()) not in met:
                met.add(target)
                yield from _open(file)


def _walk(path: Path) -> Iterator[Path | Unreadable]:
    """Files that may hold something; a checkpoint folder stands for all its files."""
    if not path.is_dir():
        yield from _one(path)
        return
    denied: list[OSError] = []
    for folder, inner, names in os.walk(path, onerror=denied.append):
        inner.sort()
        if _is_checkpoint(Path(folder)):
            inner.clear()
            yield Path(folder)
            continue
        for name in sorted(names):
            yield from _one(Path(folder, name))
    yield from (Unreadable(str(error.filename), f"not readable: {error}") for error in denied)


def _one(path: Path) -> Iterator[Path]:
    if path.suffix not in {".json", ".npz"}:
        return
    checkpoint = next((above for above in path.resolve().parents if _is_checkpoint(above)), None)
    if checkpoint is None:
        yield path
    elif path.suffix == ".npz" or path.name not in CHECKPOINT_NOTES:
        yield checkpoint


def _is_checkpoint(path: Path) -> bool:
    return all((path / part).exists() for part in CHECKPOINT_PARTS)


def _open(path: Path) -> Iterator[Found]:
    if path.is_dir() or path.suffix == ".npz":
        yield Golden(path)
        return
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        yield Unreadable(str(path), f"not readable as JSON: {error}")
        return
    if not isinstance(content, list) or not any(_is_case(entry) for entry in content):
        yield Unreadable(str(path), "not a list of cases")
        return
    for i, entry in enumerate(content):
        yield _case(f"{path}[{i}]", entry)


def _is_case(entry: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(entry, dict) and entry.keys() >= CASE_KEYS


def _case(name: str, entry: object) -> Case | Unreadable:
    if not _is_case(entry):
        return Unreadable(name, f"not a case: it needs {', '.join(sorted(CASE_KEYS))}")
    unknown = sorted(entry.keys() - CASE_KEYS - CASE_EXTRAS)
    if unknown:
        return Unreadable(name, f"a case has no {', '.join(map(str, unknown))}")
    # Where xfeed does better on purpose, its own promise holds.
    expected = entry.get("xfeed", entry["expected"])
    if not isinstance(expected, dict) or not expected:
        return Unreadable(name, "the expected results are not an object with names")
    return Case(str(entry["area"]), str(entry["case"]), entry["input"], expected)
