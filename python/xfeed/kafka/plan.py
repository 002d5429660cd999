"""Where to read on: what the snapshot holds, against what the topics still have."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

from xfeed.errors import StoreError
from xfeed.kafka.cluster import part_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xfeed.kafka.cluster import Cluster, Span

PREFIX = "kafka"


class Saved(NamedTuple):
    """Where a state stands.

    Attributes:
        cluster_id: the cluster it was read from.
        topic_ids: identity of each topic by name; empty where it is not known.
        offsets: by `part_key`, the offset after the last event in it.
    """

    cluster_id: str
    topic_ids: dict[str, str]
    offsets: dict[str, int]


class Plan(NamedTuple):
    """Where to start.

    Attributes:
        starts: by `part_key`, the first offset to read.
        lost: why events that the state needs cannot be read any more; empty when they can.
    """

    starts: dict[str, int]
    lost: tuple[str, ...]


def source_of(cluster_id: str, topic_ids: Mapping[str, str]) -> str:
    """The `source` of a snapshot, such as ``kafka:<cluster>:posts=<id>,graph=<id>``."""
    topics = ",".join(f"{name}={quote(topic_id)}" for name, topic_id in topic_ids.items())
    return f"{PREFIX}:{quote(cluster_id)}:{topics}"


def read_source(source: str) -> tuple[str, dict[str, str]] | None:
    """The cluster and the topic identities in a `source`; None when it names another log."""
    prefix, _, rest = source.partition(":")
    cluster_id, colon, topics = rest.partition(":")
    if prefix != PREFIX or not colon:
        return None
    pairs = [pair.partition("=") for pair in topics.split(",") if pair]
    return unquote(cluster_id), {name: unquote(topic_id) for name, _, topic_id in pairs}


def check_identity(saved: Saved, cluster_id: str, topics: Sequence[str]) -> None:
    """Sees to it that a directory stays with one cluster and its topics.

    Raises:
        StoreError: when the state is from another cluster, or holds a topic that is not named.
    """
    if saved.cluster_id and cluster_id and saved.cluster_id != cluster_id:
        raise StoreError(
            f"the state is from the cluster `{saved.cluster_id}`, this one is `{cluster_id}`",
            code="other_cluster",
            hint="name the cluster it came from, or an empty directory",
        )
    missing = [name for name in saved.topic_ids if name not in topics]
    if missing:
        raise StoreError(
            f"the state holds events of the topic `{missing[0]}`, which is not among"
            f" `{','.join(topics)}`",
            code="other_topics",
            hint="name all topics of the state, or an empty directory; topics may be added",
        )


def plan(saved: Saved | None, cluster: Cluster, spans: Mapping[str, Span]) -> Plan:
    """Compares what the state holds with what the topics have.

    A topic that the state knows nothing of is read from its first event. A state is of no use when
    one of its topics is another one by now, ends before the state does, or no longer holds the
    event that the state needs next: of a partition that was added, the one at offset 0.

    Args:
        saved: where the state stands; None for an empty one.
        cluster: the topics as they are.
        spans: first and last offsets of every partition.
    """
    starts: dict[str, int] = {}
    lost: list[str] = []
    for name, topic in cluster.topics.items():
        is_known = saved is not None and name in saved.topic_ids
        known_id = saved.topic_ids[name] if saved is not None and is_known else ""
        if known_id and topic.topic_id and known_id != topic.topic_id:
            lost.append(
                f"the topic `{name}` was made anew: its id is `{topic.topic_id}`, the state is"
                f" from `{known_id}`"
            )
        for number in topic.partitions:
            key = part_key(name, number)
            low, high = spans[key]
            offset = saved.offsets.get(key, 0) if saved is not None and is_known else low
            if offset < low:
                lost.append(f"`{key}` begins at {low}, and the state needs {offset} next")
            elif offset > high:
                lost.append(f"`{key}` ends at {high}, and the state holds it up to {offset}")
            starts[key] = offset
    known = () if saved is None else saved.offsets
    lost += [
        f"there is no `{key}` any more, and the state holds events of it"
        for key in known
        if key not in starts
    ]
    return Plan(starts, tuple(lost))
