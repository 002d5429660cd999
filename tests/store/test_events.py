"""Events into the store and into the world: JSON and protobuf say the same."""

import json
from pathlib import Path
from typing import Any

import pytest
from xfeed import EventError, PostStore, _core

NOW = 1_700_000_000_000
GOLDEN = json.loads((Path(__file__).parent / "protobuf_golden.json").read_text("utf-8"))
"""Events with the bytes that the protobuf library of Google wrote for them by docs/xfeed.proto."""


def line(event_type: str, **fields: Any) -> bytes:
    return json.dumps({"type": event_type, "at_ms": NOW - 9} | fields).encode()


def sized(*messages: bytes) -> bytes:
    assert all(len(message) < 128 for message in messages)
    return b"".join(bytes([len(message)]) + message for message in messages)


def folded(batch: _core.EventBatch) -> str:
    assert batch.rejects() == []
    world = _core.World(retention_ms=10**15, max_history_len=8)
    world.apply(batch)
    return world.digest()


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["event"]["type"])
def test_the_bytes_of_another_library_are_read_and_written(case: dict[str, Any]) -> None:
    json_line = json.dumps(case["event"]).encode()
    message = bytes.fromhex(case["message"])
    batch = _core.decode_protobuf([message])
    assert batch.types() == [case["event"]["type"]]
    assert folded(batch) == folded(_core.decode_events([json_line]))
    assert _core.encode_protobuf(json_line) == message


def test_the_golden_events_are_of_every_type_and_field() -> None:
    met = {(case["event"]["type"], name) for case in GOLDEN for name in case["event"]}
    fields = {(name, field) for name, rows in _core.event_schema() if name for field, *_ in rows}
    assert len(fields) > 50
    assert fields - met == set()


def test_the_schema_that_is_shipped_is_the_one_that_is_read() -> None:
    written = (Path(__file__).parents[2] / "docs" / "xfeed.proto").read_text("utf-8")
    assert written == _core.protobuf_schema(), "run `make docs`"


def test_a_line_that_is_no_event_cannot_be_encoded() -> None:
    with pytest.raises(EventError, match="post_id"):
        _core.encode_protobuf(b'{"type":"delete","at_ms":1}')


def test_the_clock_limits_protobuf_as_it_limits_json() -> None:
    late = line("delete", at_ms=NOW + 300_001, post_id=1)
    message = _core.encode_protobuf(late)
    for now in (NOW, [NOW]):
        (reject,) = _core.decode_protobuf([message], now).rejects()
        assert reject == _core.decode_events([late], now).rejects()[0]
        assert reject[1] == "in_the_future"
    assert len(_core.decode_protobuf([message])) == 1


EVENTS = [
    line("post", post_id=1, author_id=7),
    line("post", post_id=2, author_id=7, nullcast=True),
    line("post", post_id=3, author_id="ann", reply_to_author_id=7),
    line("edit", post_id=1, text="x"),
    line("post", post_id=4, author_id=7),
    line("delete", post_id=4),
    line("delete", post_id=5, at_ms=NOW - 8),
    line("undelete", post_id=5),
    line("follow", user_id=1, target_id=2),
    line("post", post_id=6, author_id=7, at_ms=0),
    line("delete", post_id=1, at_ms=NOW + 300_001),
]
EXPECTED = {
    "added": 3,
    "nullcast": 1,
    "edited": 1,
    "deleted": 2,
    "undeleted": 1,
    "not_for_the_store": 1,
    "too_old": 1,
    "in_the_future": 1,
}


def test_the_store_takes_posts_and_what_happens_to_them_and_counts_the_rest() -> None:
    store = PostStore()
    report = store.insert_json(EVENTS, now_ms=NOW)
    assert report.counts == EXPECTED
    assert report.position.tolist() == [8, 9, 10]
    assert report.reason == ["not_for_the_store", "too_old", "in_the_future"]
    assert store.post_ids().tolist() == [1, 3]
    assert (store.get(3) or {})["kind"] == "reply"
    assert store.was_deleted(5)


def test_three_ways_in_end_in_one_state() -> None:
    by_json, one_by_one, at_once = PostStore(), PostStore(), PostStore()
    by_json.insert_json(EVENTS, now_ms=NOW)
    messages = [_core.encode_protobuf(event) for event in EVENTS]
    assert one_by_one.insert_protobuf(messages, now_ms=NOW).counts == EXPECTED
    assert at_once.insert_protobuf(sized(*messages), now_ms=NOW).counts == EXPECTED
    assert by_json.digest() == one_by_one.digest() == at_once.digest()


def test_a_bad_event_costs_exactly_that_event() -> None:
    good = [line("post", post_id=i, author_id=7) for i in range(5)]
    messages = [_core.encode_protobuf(event) for event in good]
    for bad in range(6):
        store = PostStore()
        report = store.insert_json([*good[:bad], b"{", *good[bad:]], now_ms=NOW)
        assert report.counts == {"added": 5, "invalid": 1}
        assert (report.position.tolist(), report.reason) == ([bad], ["not_json"])
        for mixed in ([*messages[:bad], b"\xff", *messages[bad:]],):
            for given in (mixed, sized(*mixed)):
                report = PostStore().insert_protobuf(given, now_ms=NOW)
                assert report.counts == {"added": 5, "invalid": 1}
                assert (report.position.tolist(), report.reason) == ([bad], ["not_protobuf"])


def test_a_damaged_length_ends_the_buffer_and_says_so() -> None:
    message = _core.encode_protobuf(line("post", post_id=1, author_id=7))
    report = PostStore().insert_protobuf(sized(message) + b"\x7f" + message, now_ms=NOW)
    assert report.counts == {"added": 1, "invalid": 1}
    assert "cannot be read" in report.message[0]


def test_an_advert_is_in_no_feed_and_leaves_its_id_free() -> None:
    batch = _core.decode_events([EVENTS[1]])
    world = _core.World(retention_ms=10**15, max_history_len=8)
    world.apply(batch)
    assert world.post_state(2) == "unknown"
