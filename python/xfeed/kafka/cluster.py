"""What the brokers say about the topics: identities, partitions, first and last offsets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from xfeed.errors import XfeedError

if TYPE_CHECKING:
    from collections.abc import Sequence


ASK_SECS = 3.0
"""How long one question to the brokers may take."""


class Unavailable(XfeedError):  # noqa: N818 - a state of the brokers, not a fault of ours
    """The brokers do not answer or do not let us in; it may pass."""


class Span(NamedTuple):
    """Offsets of a partition: of its first event, and after its last one."""

    low: int
    high: int


class Topic(NamedTuple):
    """One topic.

    Attributes:
        topic_id: identity that a topic of the same name made later does not share; empty where the
            brokers know none.
        partitions: their numbers, ascending.
    """

    topic_id: str
    partitions: tuple[int, ...]


class Cluster(NamedTuple):
    """The cluster and the topics that were asked for, by name."""

    cluster_id: str
    topics: dict[str, Topic]


def part_key(topic: str, partition: int) -> str:
    """Name of a partition among the offsets of a snapshot, such as ``posts/0``."""
    return f"{topic}/{partition}"


def look_up(consumer: Any, admin: Any, topics: Sequence[str]) -> Cluster:
    """Asks for identities and partitions.

    Raises:
        Unavailable: when the brokers do not answer, or a topic is missing or closed to us.
    """
    from confluent_kafka import KafkaException

    found = {}
    try:
        for topic in topics:
            metadata = consumer.list_topics(topic, timeout=ASK_SECS)
            about = metadata.topics[topic]
            if about.error is not None:
                raise unavailable(about.error, topic)
            if not about.partitions:
                raise Unavailable(
                    f"`{topic}` has no partitions",
                    code="topic_missing",
                    hint="make the topic, or name another one",
                )
            found[topic] = tuple(sorted(about.partitions))
        # Without a controller nobody knows identities; asking would only wait.
        has_controller = metadata.controller_id in metadata.brokers
        ids = topic_ids(admin, topics) if has_controller else {}
    except KafkaException as error:
        raise unavailable(error.args[0], ", ".join(topics)) from error
    return Cluster(
        metadata.cluster_id or "",
        {name: Topic(ids.get(name, ""), partitions) for name, partitions in found.items()},
    )


def topic_ids(admin: Any, topics: Sequence[str]) -> dict[str, str]:
    """Identities by name; empty where the brokers know none.

    Raises:
        Unavailable: when they do not answer, or a topic is missing.
    """
    from confluent_kafka import KafkaError, KafkaException, TopicCollection

    asked = admin.describe_topics(TopicCollection(list(topics)), request_timeout=ASK_SECS)
    try:
        return {name: str(answer.result().topic_id) for name, answer in asked.items()}
    except KafkaException as error:
        if error.args[0].code() == KafkaError._UNSUPPORTED_FEATURE:  # noqa: SLF001 - its public name
            return {}
        raise unavailable(error.args[0], ", ".join(topics)) from error


def spans(consumer: Any, parts: Sequence[tuple[str, int]]) -> dict[str, Span]:
    """First and last offsets, by `part_key`. Ends are those of committed transactions.

    Raises:
        Unavailable: when a partition's leader does not answer.
    """
    from confluent_kafka import KafkaException, TopicPartition

    found = {}
    for topic, partition in parts:
        key = part_key(topic, partition)
        try:
            asked = consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=ASK_SECS, cached=False
            )
        except KafkaException as error:
            raise unavailable(error.args[0], key) from error
        if asked is None:
            raise Unavailable(
                f"the leader of `{key}` does not answer",
                code="broker_away",
                hint="it is asked again and again",
            )
        found[key] = Span(*asked)
    return found


def unavailable(error: Any, what: str) -> Unavailable:
    """The client library's error in our words."""
    from confluent_kafka import KafkaError

    codes = {
        KafkaError._AUTHENTICATION: "auth_failed",  # noqa: SLF001 - these are their public names
        KafkaError.SASL_AUTHENTICATION_FAILED: "auth_failed",
        KafkaError.TOPIC_AUTHORIZATION_FAILED: "auth_failed",
        KafkaError.GROUP_AUTHORIZATION_FAILED: "auth_failed",
        KafkaError.CLUSTER_AUTHORIZATION_FAILED: "auth_failed",
        KafkaError.UNKNOWN_TOPIC_OR_PART: "topic_missing",
        KafkaError._UNKNOWN_TOPIC: "topic_missing",  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION: "topic_missing",  # noqa: SLF001
        KafkaError.UNKNOWN_TOPIC_ID: "topic_missing",
    }
    hints = {
        "auth_failed": "check the credentials and rights in the file of client properties",
        "topic_missing": "make the topic, or name another one",
        "broker_away": "check the address and that the brokers run; it is tried again and again",
    }
    code = codes.get(error.code(), "broker_away")
    return Unavailable(f"`{what}`: {error.str()}", code=code, hint=hints[code])
