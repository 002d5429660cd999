import json
from pathlib import Path
from typing import Any

import pytest
from xfeed.conformance.files import Case, Found, Golden, Unreadable, find

CASE = {"area": "a", "case": "c", "input": {}, "expected": {"x": 1}, "why": "because"}


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def checkpoint(path: Path) -> Path:
    for part in ("ranker", "retrieval"):
        write(path / part / "config.json", {"layers": 2})
        write(path / part / "model_params.npz", "")
    write(path / "expected.npz", "")
    write(path / "corpus.npz", "")
    write(path / "example_sequence.json", [1, 2])
    return path


def only(path: Path) -> Found:
    (found,) = find([path])
    return found


def test_a_folder_is_searched_to_its_ground_and_each_file_is_found_once(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "er" / "b.json", [CASE])
    write(tmp_path / "a.json", [CASE | {"case": "first"}])
    write(tmp_path / "deep" / "one.npz", "")
    write(tmp_path / "README.md", "text")
    found = list(find([tmp_path, tmp_path / "a.json", tmp_path / "deep"]))
    assert found == [
        Case("a", "first", {}, {"x": 1}),
        Golden(tmp_path / "deep" / "one.npz"),
        Case("a", "c", {}, {"x": 1}),
    ]


def test_a_promise_of_ours_holds_instead_of_the_published_behaviour(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", [CASE | {"xfeed": {"x": 2}, "xfeed_why": "better"}])
    assert only(path) == Case("a", "c", {}, {"x": 2})


def test_a_checkpoint_is_one_golden_file_whichever_of_its_files_is_given(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "tiny")
    assert list(find([tmp_path])) == [Golden(folder)]
    assert only(folder / "corpus.npz") == Golden(folder)
    assert only(folder / "ranker" / "model_params.npz") == Golden(folder)
    assert list(find([folder / "ranker" / "config.json", folder / "example_sequence.json"])) == []


def test_notes_of_a_checkpoint_are_foreign_elsewhere(tmp_path: Path) -> None:
    assert isinstance(only(write(tmp_path / "config.json", {"layers": 2})), Unreadable)


@pytest.mark.parametrize(
    "content",
    ["{", "", "[]", "{}", "7", [1], [{"area": "a"}], b"\xff\xfe".decode("latin-1") + "["],
)
def test_json_without_a_case_is_named(tmp_path: Path, content: object) -> None:
    found = only(write(tmp_path / "a.json", content))
    assert isinstance(found, Unreadable)
    assert "a.json" in found.name


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"area": "a"}, "it needs area, case, expected, input"),
        (CASE | {"tolerance": 1}, "tolerance"),
        (CASE | {"expected": []}, "expected results"),
        (CASE | {"expected": {}}, "expected results"),
        (7, "not a case"),
    ],
)
def test_a_strange_entry_among_cases_is_named_with_its_place(
    tmp_path: Path, entry: dict[str, Any] | int, why: str
) -> None:
    first, second = find([write(tmp_path / "a.json", [CASE, entry])])
    assert isinstance(first, Case)
    assert isinstance(second, Unreadable)
    assert second.name.endswith("a.json[1]")
    assert why in second.why


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert isinstance(only(tmp_path / "nowhere"), Unreadable)
