import json
from collections.abc import Callable
from typing import Any

import pytest
from xfeed import Event, EventError
from xfeed.events import system_now_ms
from xfeed.ids import to_u64

BASE: dict[str, Any] = {"at_ms": 5, "post_id": 7, "author_id": "bo"}


def test_an_event_is_one_json_line() -> None:
    event = Event("post", **BASE, text="a\nb é")
    assert event.payload == (
        '{"type":"post","at_ms":5,"post_id":7,"author_id":"bo","text":"a\\nb é"}'.encode()
    )
    assert event.to_dict() == {"type": "post", **BASE, "text": "a\nb é"}
    assert "é" in repr(event)


@pytest.mark.parametrize(
    "written",
    [
        lambda line: line,
        lambda line: line.decode(),
        lambda line: b"  " + line + b"\r\n",
        json.loads,
        lambda line: Event.parse(line).to_dict(),
    ],
    ids=["bytes", "text", "with space around", "mapping", "its own mapping"],
)
def test_lines_texts_and_mappings_are_the_same_event(written: Callable[[bytes], Any]) -> None:
    event = Event("post", **BASE)
    other = Event.parse(written(event.payload))
    assert other == event
    assert hash(other) == hash(event)


def test_different_events_differ() -> None:
    assert Event("delete", at_ms=1, post_id=1) != Event("delete", at_ms=1, post_id=2)
    assert Event("delete", at_ms=1, post_id=1) != b'{"type":"delete"}'


def test_now_is_the_time_when_none_is_given() -> None:
    before = system_now_ms()
    at_ms = Event("delete", post_id=1).to_dict()["at_ms"]
    assert before <= at_ms <= system_now_ms()


@pytest.mark.parametrize(
    ("event_type", "fields", "code", "says"),
    [
        ("folow", {"user_id": 1, "target_id": 2}, "unknown_type", "did you mean `follow`?"),
        ("delete", {"post_ids": 1}, "unknown_field", "did you mean `post_id`?"),
        ("delete", {}, "missing_field", "`post_id` is missing"),
        ("delete", {"post_id": -1}, "bad_id", "got `-1`"),
        (
            "action",
            {"viewer_id": 1, "post_id": 2, "action": "favourite"},
            "unknown_action",
            "did you mean `favorite`?",
        ),
        (
            "action",
            {"viewer_id": 1, "post_id": 2, "action": "not_dwelled"},
            "derived_action",
            "cannot be sent",
        ),
    ],
)
def test_a_wrong_event_cannot_be_made(
    event_type: str, fields: dict[str, Any], code: str, says: str
) -> None:
    with pytest.raises(EventError) as caught:
        Event(event_type, at_ms=1, **fields)
    assert caught.value.code == code
    assert says in str(caught.value)
    assert "docs/events.md" in caught.value.hint
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("line", [b"", b"{", "hello", b"\xff", b"[]", b"{}", {}, {"type": 1}])
def test_what_is_no_event_cannot_be_parsed(line: Any) -> None:
    with pytest.raises(EventError):
        Event.parse(line)


@pytest.mark.parametrize("value", [object(), 1j, b"\xff".__iter__(), "half \ud800"])
def test_what_is_no_json_cannot_be_an_event(value: Any) -> None:
    with pytest.raises(EventError) as caught:
        Event("edit", at_ms=1, post_id=1, text=value)
    assert caught.value.code == "not_json"
    assert caught.value.hint


def test_five_minutes_ahead_are_forgiven_and_more_are_not() -> None:
    Event("delete", at_ms=system_now_ms() + 290_000, post_id=1)
    with pytest.raises(EventError) as caught:
        Event("delete", at_ms=system_now_ms() + 310_000, post_id=1)
    assert caught.value.code == "in_the_future"


def test_types_lists_every_type_with_its_fields() -> None:
    types = Event.types()
    assert len(types) == 17
    assert "" not in types
    assert types["follow"] == {
        "user_id": "an id (an integer 0 ..= 2^63 - 1 or a string), required",
        "target_id": "an id (an integer 0 ..= 2^63 - 1 or a string), required",
    }
    assert "required" not in types["post"]["text"]
    assert "video" in types["post"]["media_kind"]


SMALLEST: dict[str, Any] = {
    "label": {"post_id": 1, "label": "spam", "expires_at_ms": None},
    "unlabel": {"post_id": 1, "label": "spam"},
    "edit": {"post_id": 1, "text": "x"},
    "action": {"viewer_id": 1, "post_id": 2, "action": "favorite"},
}


def test_an_event_of_every_type_needs_exactly_its_required_fields() -> None:
    for name, fields in Event.types().items():
        required = [field for field, what in fields.items() if what.endswith(", required")]
        smallest = SMALLEST.get(name) or {field: i for i, field in enumerate(required, start=1)}
        if "word" in smallest:
            smallest["word"] = "spoiler"
        assert Event(name, at_ms=1, **smallest).to_dict()["type"] == name
        for field in required:
            less = {key: value for key, value in smallest.items() if key != field}
            with pytest.raises(EventError) as caught:
                Event(name, at_ms=1, **less)
            assert caught.value.code == "missing_field", (name, field)
            assert f"`{field}`" in str(caught.value)


def test_ids_of_both_kinds_have_numbers_of_their_own() -> None:
    assert to_u64(7) == to_u64("7") == 7
    others = [to_u64(text) for text in ("07", "+7", "7.0", " 7", str(2**63), "seven")]
    assert len(set(others)) == len(others)
    assert all(2**63 <= number < 2**64 for number in others)
    assert to_u64("seven") == to_u64("seven")


@pytest.mark.parametrize("value", [-1, 2**63, 2**64, True, 1.0, None, "", "\x7f", "x" * 513, b"a"])
def test_what_is_no_id_is_refused(value: Any) -> None:
    with pytest.raises(EventError) as caught:
        to_u64(value)
    assert caught.value.code == "bad_id"
    assert caught.value.hint
