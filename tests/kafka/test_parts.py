"""Addresses, properties, keys, progress and health, each for itself."""

import json
from pathlib import Path

import pytest
from xfeed import ConfigError, StoreError, _core
from xfeed.kafka import Address, client
from xfeed.kafka.health import Health
from xfeed.kafka.produce import GRAPH_TYPES, route
from xfeed.kafka.progress import Progress


def test_an_address_is_read() -> None:
    read = Address.parse("kafka://a:1,[::1]:65535/posts,graph?format=protobuf&group=g&properties=f")
    assert read == Address("a:1,[::1]:65535", ("posts", "graph"), "protobuf", "g", Path("f"))
    assert Address.parse("kafka://a:1/x").format == "json"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://a:1/x", "does not begin with"),
        ("kafka://a/x", "`a` is no host and port"),
        ("kafka://a:0/x", "`a:0` is no host and port"),
        ("kafka://a:65536/x", "`a:65536` is no host and port"),
        ("kafka://a:1", "`` is no name of a topic"),
        ("kafka://a:1/x,", "`` is no name of a topic"),
        ("kafka://a:1/x/y", "`x/y` is no name of a topic"),
        ("kafka://a:1/..", "`..` is no name of a topic"),
        ("kafka://a:1/x,x", "names a topic twice"),
        ("kafka://a:1/x?form=json", "`form` is no option"),
        ("kafka://a:1/x?format=avro", "`avro` is no format"),
        ("kafka://a:1/x?group=", "`group` is empty"),
    ],
)
def test_a_wrong_address_is_named(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as error:
        Address.parse(text)
    assert why in str(error.value)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as error:
        Address.parse("kafka://ann:hunter2@a:1/x")
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("enable.auto.commit=true", "sets `enable.auto.commit`"),
        ("hunter2", "line 2 of"),
        ("sasl.password=hunter2\nno.such.property=1", "no.such.property"),
        (
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanisms=hunter2\nsasl.password=hunter2",
            "refuses its properties",
        ),
    ],
)
def test_wrong_properties_are_named_and_secrets_are_not(
    tmp_path: Path, line: str, why: str
) -> None:
    file = tmp_path / "client.properties"
    file.write_text(f"# a comment\n{line}\n")
    address = Address("a:1", ("x",), properties=file)
    own = {"enable.auto.commit": False}
    with pytest.raises(ConfigError) as error:
        client.make(client.load().Consumer, client.properties(address, {**own, "group.id": "g"}))
    assert why in str(error.value)
    assert "hunter2" not in str(error.value)


def test_every_type_of_event_has_a_topic_and_a_key() -> None:
    values = {"author_id": "ann", "viewer_id": 7, "user_id": "42", "post_id": 9}
    expected = {
        "post": (0, b"ann"),
        "edit": (0, b"9"),
        "delete": (0, b"9"),
        "undelete": (0, b"9"),
        "impression": (0, b"7"),
        "action": (0, b"7"),
        "label": (1, b"42"),
        "unlabel": (1, b"42"),
    }
    types = [name for name, _ in _core.event_schema() if name]
    assert set(types) >= GRAPH_TYPES
    for name, fields in _core.event_schema():
        if name:
            ids = {field: values[field] for field, *_ in fields if field in values}
            if name == "action":
                ids["author_id"] = "of the post"
            payload = json.dumps({"type": name, **ids, "text": "more"}).encode()
            assert route(payload) == expected.get(name, (1, b"42"))


def test_an_integer_and_its_decimal_string_have_one_key() -> None:
    for spelling in ("42", '"42"'):
        assert route(b'{"type":"post","author_id":%b}' % spelling.encode()) == (0, b"42")
    assert route(b'{"type":"post","author_id":9223372036854775807}')[1] == b"9223372036854775807"


def test_progress_is_caught_up_when_every_partition_is() -> None:
    progress = Progress()
    assert not progress.is_caught_up()
    progress.begin({"a/0": 0, "a/1": 5}, {"a/0": 3, "a/1": 5}, {"a/0": 3, "a/1": 5})
    progress.advance({"a/0": 2})
    assert not progress.is_caught_up()
    progress.ends({"a/0": 9})
    progress.advance({"a/0": 3})
    assert progress.is_caught_up()
    assert progress.to_dict()["a/0"] == {"applied": 3, "target": 3, "end": 9, "lag": 6}
    progress.add({"a/2": 4})
    assert progress.is_caught_up()
    # What is repeated does not take back what was applied.
    progress.advance({"a/0": 1})
    assert progress.offsets() == {"a/0": 3, "a/1": 5, "a/2": 4}


def test_health_says_everything_that_is_wrong() -> None:
    progress = Progress()
    health = Health(progress, max_stale_secs=60)
    assert [reason["code"] for reason in health.reasons()] == ["catching_up"]
    progress.begin({"a/0": 0}, {"a/0": 0}, {"a/0": 0})
    assert health.reasons() == []
    health.hear(idle_secs=61)
    assert [reason["code"] for reason in health.reasons()] == ["broker_away"]
    health.hear()
    health.trouble("topic_missing", "no topic")
    assert health.reasons() == [{"code": "topic_missing", "message": "no topic"}]
    health.no_trouble()
    health.warn("snapshot_failed", "disk full")
    assert health.reasons() == []
    health.fail(StoreError("it broke", code="broken"))
    health.fail(StoreError("and then that", code="later"))
    health.end()
    assert [reason["code"] for reason in health.reasons()] == ["broken"]
