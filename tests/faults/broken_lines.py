"""Every kind of line that must be refused, with the refusal it must get."""

import json
from typing import Any, NamedTuple


class Broken(NamedTuple):
    """One broken line.

    Attributes:
        kind: what is wrong with it.
        raw: the line.
        code: code of the refusal.
        field: the field that it must name; empty when the whole line is bad.
        value: how the refused value must be repeated; None when there is no value.
    """

    kind: str
    raw: bytes
    code: str
    field: str = ""
    value: str | None = None


def line(**fields: Any) -> bytes:
    """An event with everything that every event needs."""
    return json.dumps({"at_ms": 1_000, **fields}, ensure_ascii=False).encode()


def post(**fields: Any) -> bytes:
    return line(**{"type": "post", "post_id": 5, "author_id": 6, **fields})


def delete(post_id: Any) -> bytes:
    return line(type="delete", post_id=post_id)


def action(name: str, **fields: Any) -> bytes:
    return line(type="action", viewer_id=1, post_id=5, action=name, **fields)


def label(**fields: Any) -> bytes:
    return line(type="label", label="spam", **fields)


def word(text: Any, **fields: Any) -> bytes:
    return line(type="mute_word", user_id=1, word=text, **fields)


def delete_at(at_ms: str) -> bytes:
    return b'{"type":"delete","post_id":5,"at_ms":' + at_ms.encode() + b"}"


NOT_JSON = [
    Broken("plain words", b"hello there", "not_json"),
    Broken("a list", b"[1,2]", "not_json"),
    Broken("null", b"null", "not_json"),
    Broken("a bare number", b"42", "not_json"),
    Broken("cut in the middle", post(text="half")[:-9], "not_json"),
    Broken("trailing garbage", post() + b" x", "not_json"),
    Broken("a comma at the end", post() + b",", "not_json"),
    Broken("two objects", post() + post(), "not_json"),
    Broken("single quotes", b"{'type':'delete','at_ms':1,'post_id':5}", "not_json"),
    Broken("a comment", b"// " + post(), "not_json"),
    Broken("a byte order mark", b"\xef\xbb\xbf" + post(), "not_json"),
    Broken("a zero byte", post(text="TEXT").replace(b"TEXT", b"\x00"), "not_json"),
    Broken("a raw tab in a string", post(text="TEXT").replace(b"TEXT", b"a\tb"), "not_json"),
    Broken("a NaN literal", post(media_duration_ms=7).replace(b"7", b"NaN"), "not_json"),
    Broken("an infinity literal", action("dwell_time", seconds=7)[:-2] + b"Infinity}", "not_json"),
    Broken("half a surrogate pair", b'{"type":"edit","at_ms":1,"text":"\\ud800"}', "not_json"),
    Broken("10,000 open brackets", b'{"type":' + b"[" * 10_000, "not_json"),
    Broken("deep but closed", b'{"a":' + b"[" * 900 + b"]" * 900 + b"}", "not_json"),
    Broken("bytes that are no text", b"\xff\xfe\x00\x01", "not_utf8"),
    Broken("bad bytes in a text", post(text="TEXT").replace(b"TEXT", b"\xc3("), "not_utf8"),
    Broken("a raw surrogate", post(text="TEXT").replace(b"TEXT", b"\xed\xa0\x80"), "not_utf8"),
    Broken("longer than 64 KiB", post(text="x" * 65_536), "line_too_long"),
]

EVERY_EVENT = [
    Broken("an empty object", b"{}", "missing_field", "type"),
    Broken("no type", b'{"at_ms":1,"post_id":5}', "missing_field", "type"),
    Broken("a near miss of a type", line(type="folow"), "unknown_type", "type", "folow"),
    Broken("a type of no use", line(type="teleport"), "unknown_type", "type", "teleport"),
    Broken("a type in capitals", line(type="DELETE"), "unknown_type", "type", "DELETE"),
    Broken("a number as type", line(type=7), "wrong_type", "type", "7"),
    Broken("version 2", post(v=2), "out_of_range", "v", "2"),
    Broken("no at_ms", b'{"type":"delete","post_id":5}', "missing_field", "at_ms"),
    Broken("at_ms is null", delete_at("null"), "missing_field", "at_ms"),
    Broken("a negative at_ms", delete_at("-1"), "out_of_range", "at_ms", "-1"),
    Broken("a float as at_ms", delete_at("1.5"), "wrong_type", "at_ms", "1.5"),
    Broken("at_ms in words", delete_at('"noon"'), "wrong_type", "at_ms", "noon"),
    Broken("at_ms in quotes", delete_at('"1000"'), "wrong_type", "at_ms", "1000"),
    Broken("next year", delete_at("99999999999999"), "in_the_future", "at_ms", "99999999999999"),
    Broken("after year 9999", delete_at(f"{2**62}"), "out_of_range", "at_ms", f"{2**62}"),
    Broken("a far-off field", post(zebra=1), "unknown_field", "zebra", "1"),
    Broken("a misspelt field", post(txt="a"), "unknown_field", "txt", "a"),
    Broken(
        "a field of another type", delete(5)[:-1] + b',"text":"a"}', "unknown_field", "text", "a"
    ),
    Broken("a field twice", post()[:-1] + b',"post_id":9}', "repeated_field", "post_id", "9"),
    Broken("an object as event_id", post(event_id={}), "wrong_type", "event_id", "{}"),
]

IDS = [
    Broken("no id", line(type="delete"), "missing_field", "post_id"),
    Broken("null as an id", delete(None), "missing_field", "post_id"),
    Broken("an empty id", delete(""), "bad_id", "post_id", ""),
    Broken("a negative id", delete(-4), "bad_id", "post_id", "-4"),
    Broken("2^63 as an id", delete(2**63), "bad_id", "post_id", f"{2**63}"),
    Broken("a float as an id", delete(1.5), "bad_id", "post_id", "1.5"),
    Broken("a whole float as an id", delete(7.0), "bad_id", "post_id", "7.0"),
    Broken("true as an id", delete(True), "wrong_type", "post_id", "true"),
    Broken("a list as an id", delete([1]), "wrong_type", "post_id", "[1]"),
    Broken("513 bytes of id", delete("x" * 513), "bad_id", "post_id", "x" * 120 + "…"),
    Broken("a line end in an id", delete("a\nb"), "bad_id", "post_id", "a\nb"),
    Broken("no author", line(type="post", post_id=5), "missing_field", "author_id"),
    Broken(
        "follows themselves",
        line(type="follow", user_id="ann", target_id="ann"),
        "points_at_itself",
        "target_id",
        "ann",
    ),
    Broken(
        "blocks themselves by another spelling",
        line(type="block", user_id=7, target_id="7"),
        "points_at_itself",
        "target_id",
        "7",
    ),
]

POSTS = [
    Broken("too long a text", post(text="x" * 25_001), "bad_length", "text", "x" * 120 + "…"),
    Broken("a number as text", post(text=3), "wrong_type", "text", "3"),
    Broken("a language of one letter", post(language="e"), "bad_length", "language", "e"),
    Broken(
        "an unknown kind of media", post(media_kind="gif"), "unknown_value", "media_kind", "gif"
    ),
    Broken(
        "a negative duration",
        post(media_kind="video", media_duration_ms=-1),
        "out_of_range",
        "media_duration_ms",
        "-1",
    ),
    Broken(
        "a photo with a duration",
        post(media_kind="photo", media_duration_ms=9),
        "does_not_apply",
        "media_duration_ms",
        "9",
    ),
    Broken("topics as a text", post(topics="rust"), "wrong_type", "topics", "rust"),
    Broken("17 topics", post(topics=["a"] * 17), "bad_list", "topics", '["a","a"'),
    Broken("an empty topic", post(topics=[""]), "bad_list", "topics", '[""]'),
    Broken("a number as a topic", post(topics=[1]), "bad_list", "topics", "[1]"),
    Broken(
        "a repost that is a reply",
        post(repost_of_id=8, reply_to_id=9),
        "contradiction",
        "repost_of_id",
        "8",
    ),
    Broken(
        "a repost that is a quote",
        post(repost_of_id=8, quote_of_id=9),
        "contradiction",
        "repost_of_id",
        "8",
    ),
    Broken("an answer to itself", post(reply_to_id="5"), "points_at_itself", "reply_to_id", "5"),
    Broken("a root without a reply", post(root_id=9), "missing_field", "reply_to_id"),
    Broken("an author of no post", post(quote_of_author_id=9), "missing_field", "quote_of_id"),
    Broken("an edit of nothing", line(type="edit", post_id=5), "missing_field", "text"),
]

PEOPLE = [
    Broken("an unknown action", action("favourite"), "unknown_action", "action", "favourite"),
    Broken("a derived action", action("dwell"), "derived_action", "action", "dwell"),
    Broken("dwell without seconds", action("dwell_time"), "missing_field", "seconds"),
    Broken("negative seconds", action("dwell_time", seconds=-1), "out_of_range", "seconds", "-1"),
    Broken("two days", action("dwell_time", seconds=172_800), "out_of_range", "seconds", "172800"),
    Broken(
        "1e999",
        action("dwell_time", seconds=7)[:-2] + b"1e999}",
        "out_of_range",
        "seconds",
        "1e+999",
    ),
    Broken("seconds in words", action("dwell_time", seconds="9"), "wrong_type", "seconds", "9"),
    Broken(
        "seconds on a favorite", action("favorite", seconds=9), "does_not_apply", "seconds", "9"
    ),
    Broken("surface 16", action("favorite", surface=16), "out_of_range", "surface", "16"),
    Broken("a block of nobody", action("block_author"), "missing_field", "author_id"),
    Broken(
        "a mute of oneself",
        action("mute_author", author_id=1),
        "points_at_itself",
        "author_id",
        "1",
    ),
    Broken(
        "protected in words",
        line(type="profile", user_id=1, protected="yes"),
        "wrong_type",
        "protected",
        "yes",
    ),
    Broken("a word without a letter", word("?!"), "empty_word", "word", "?!"),
    Broken("an empty word", word(""), "bad_length", "word", ""),
    Broken(
        "a word that is over", word("x", expires_at_ms=999), "already_over", "expires_at_ms", "999"
    ),
]

LABELS = [
    Broken("no expiry", label(post_id=5), "missing_field", "expires_at_ms"),
    Broken(
        "already over",
        label(post_id=5, expires_at_ms=1_000),
        "already_over",
        "expires_at_ms",
        "1000",
    ),
    Broken("for nothing", label(expires_at_ms=None), "missing_field", "post_id"),
    Broken(
        "for two things",
        label(post_id=5, user_id=6, expires_at_ms=None),
        "contradiction",
        "user_id",
        "6",
    ),
    Broken(
        "65 characters",
        line(type="unlabel", user_id=6, label="é" * 65),
        "bad_length",
        "label",
        "é" * 65,
    ),
]

ALL = [*NOT_JSON, *EVERY_EVENT, *IDS, *POSTS, *PEOPLE, *LABELS]
