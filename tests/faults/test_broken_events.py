"""One file with every kind of broken line and good lines around each of them."""

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from xfeed import Feed
from xfeed.adapters.jsonl import MAX_LINE_LEN
from xfeed.ingest import IngestReport

from tests.faults.broken_lines import ALL, Broken


def good_line(i: int) -> bytes:
    """Posts, follows and impressions in turn; the text holds what breaks careless readers."""
    at_ms = 10_000 + i
    kinds: tuple[dict[str, Any], ...] = (
        {"type": "post", "post_id": f"good/{i}", "author_id": "bo", "text": 'é \u2028 "\\ 🦀'},
        {"type": "follow", "user_id": f"reader {i}", "target_id": "bo"},
        {"type": "impression", "viewer_id": 9, "post_id": f"good/{i - 2}"},
    )
    return json.dumps({"at_ms": at_ms, **kinds[i % 3]}, ensure_ascii=False).encode()


class Ingested(NamedTuple):
    """What ingesting the mixed file left behind."""

    report: IngestReport
    letters: list[dict[str, Any]]
    line_of: dict[str, int]
    good: list[bytes]
    state_hash: str
    log_offset: int


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    directory = tmp_path_factory.mktemp("broken")
    lines, good, line_of = [], [], {}
    for i, broken in enumerate(ALL):
        good.append(good_line(i))
        lines += [good[-1], broken.raw]
        line_of[broken.kind] = len(lines)
    good.append(good_line(len(ALL)))
    path = directory / "mixed.jsonl"
    path.write_bytes(b"\n".join([*lines, good[-1]]) + b"\n")
    # A batch border between broken lines must change nothing.
    with Feed.open(directory / "data", config={"ingest_batch_len": 7}) as feed:
        report = feed.ingest_files([path])
        assert report.dead_letters is not None
        written = Path(report.dead_letters).read_text("utf-8").split("\n")
        letters = [json.loads(letter) for letter in written if letter]
        return Ingested(report, letters, line_of, good, feed.state_hash(), feed.log_offset)


def letter_of(ingested: Ingested, broken: Broken) -> dict[str, Any]:
    number = ingested.line_of[broken.kind]
    (letter,) = [letter for letter in ingested.letters if letter["line"] == number]
    return letter


def test_there_are_many_distinct_kinds() -> None:
    assert len({broken.kind for broken in ALL}) == len(ALL) >= 80
    assert len({broken.raw for broken in ALL}) == len(ALL)
    assert len({broken.code for broken in ALL}) >= 18


def test_every_broken_line_has_one_dead_letter_and_no_good_line_has_any(ingested: Ingested) -> None:
    assert [letter["line"] for letter in ingested.letters] == sorted(ingested.line_of.values())
    assert {letter["source"] for letter in ingested.letters} == {"mixed.jsonl"}


def test_the_report_counts_every_line_once(ingested: Ingested) -> None:
    report = ingested.report
    assert report.read == 2 * len(ALL) + 1
    assert report.accepted == len(ALL) + 1 == report.end_offset == ingested.log_offset
    assert report.rejected == Counter(broken.code for broken in ALL)


@pytest.mark.parametrize("broken", ALL, ids=lambda broken: broken.kind)
def test_a_dead_letter_says_what_is_wrong(ingested: Ingested, broken: Broken) -> None:
    letter = letter_of(ingested, broken)
    assert (letter["code"], letter["field"]) == (broken.code, broken.field), letter
    if broken.field:
        assert f"`{broken.field}`" in letter["message"]
    if broken.value is not None:
        assert letter["value"].startswith(broken.value)
        assert f"`{letter['value']}`" in letter["message"]
    assert len(letter["message"]) < 1_000
    assert letter["hint"]


@pytest.mark.parametrize("broken", ALL, ids=lambda broken: broken.kind)
def test_a_dead_letter_keeps_the_bytes_exactly(ingested: Ingested, broken: Broken) -> None:
    letter = letter_of(ingested, broken)
    if "raw" in letter:
        raw = letter["raw"].encode()
    else:
        raw = base64.b64decode(letter["raw_base64"], validate=True)
    # A reader never holds more than one byte above the limit of a line.
    assert raw == broken.raw[: MAX_LINE_LEN + 1]


def test_near_misses_name_what_was_meant(ingested: Ingested) -> None:
    messages = {letter["line"]: letter["message"] for letter in ingested.letters}
    meant = {
        "a near miss of a type": "follow",
        "a misspelt field": "text",
        "an unknown action": "favorite",
    }
    for kind, name in meant.items():
        assert f"did you mean `{name}`?" in messages[ingested.line_of[kind]]


def test_all_good_lines_are_in_and_nothing_else(ingested: Ingested, tmp_path: Path) -> None:
    with Feed.open(tmp_path / "good") as feed:
        assert feed.ingest(ingested.good).n_rejected == 0
        assert feed.state_hash() == ingested.state_hash


def test_a_number_beyond_64_bits_is_repeated_as_it_was_written(tmp_path: Path) -> None:
    with Feed.open(tmp_path / "data") as feed:
        feed.ingest([b'{"type":"delete","at_ms":1,"post_id":18446744073709551617}'])
        letter = json.loads((tmp_path / "data" / "dead_letters.jsonl").read_text("utf-8"))
    assert letter["code"] == "bad_id"
    assert letter["value"] == "18446744073709551617"


@pytest.mark.parametrize(
    "broken",
    [
        {"type": "delete", "at_ms": 1, "post_id": 2**70},
        {"type": "edit", "at_ms": 1, "post_id": 1, "text": "half a pair \ud800"},
        {"type": "edit", "at_ms": 1, "post_id": 1, "text": iter([1])},
        {"type": "edit", "at_ms": 1, "post_id": 1, "text": float("nan")},
        '{"type":"edit","at_ms":1,"post_id":1,"text":"half a pair \ud800"}',
    ],
    ids=["a huge integer", "a surrogate", "an iterator", "NaN", "a surrogate in a line"],
)
def test_an_object_that_is_no_event_costs_only_itself(tmp_path: Path, broken: Any) -> None:
    with Feed.open(tmp_path / "data") as feed:
        report = feed.ingest([good_line(0), broken, good_line(1)])
    assert (report.accepted, report.n_rejected) == (2, 1)
