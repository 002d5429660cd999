"""Where to read on, decided from what is saved and what there is; without a broker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xfeed import StoreError
from xfeed.kafka.cluster import Cluster, Span, Topic
from xfeed.kafka.plan import Saved, check_identity, plan, read_source, source_of

CLUSTER = Cluster("c", {"posts": Topic("id-1", (0, 1)), "graph": Topic("", (0,))})
SPANS = {"posts/0": Span(10, 20), "posts/1": Span(0, 0), "graph/0": Span(5, 9)}


def saved(**offsets: int) -> Saved:
    keys = {name.replace("_", "/"): offset for name, offset in offsets.items()}
    return Saved("c", {"posts": "id-1", "graph": "id-2"}, keys)


def test_an_empty_state_starts_with_the_first_event_there_is() -> None:
    assert plan(None, CLUSTER, SPANS) == ({"posts/0": 10, "posts/1": 0, "graph/0": 5}, ())


def test_a_state_goes_on_and_new_partitions_and_topics_start_with_their_first_event() -> None:
    starts, lost = plan(saved(posts_0=15, graph_0=9), CLUSTER, SPANS)
    assert (starts, lost) == ({"posts/0": 15, "posts/1": 0, "graph/0": 9}, ())
    starts, lost = plan(Saved("c", {"posts": "id-1"}, {"posts/0": 15}), CLUSTER, SPANS)
    assert (starts, lost) == ({"posts/0": 15, "posts/1": 0, "graph/0": 5}, ())


@pytest.mark.parametrize(
    ("offsets", "why"),
    [
        ({"posts_0": 15, "posts_1": 0}, "`graph/0` begins at 5, and the state needs 0 next"),
        ({"posts_0": 9}, "`posts/0` begins at 10, and the state needs 9 next"),
        ({"posts_0": 21}, "`posts/0` ends at 20, and the state holds it up to 21"),
        ({"posts_7": 0}, "there is no `posts/7` any more"),
    ],
)
def test_what_cannot_be_read_any_more_is_named(offsets: dict[str, int], why: str) -> None:
    kept = offsets if "graph/0" in why else {"graph_0": 7, "posts_0": 15, **offsets}
    lost = plan(saved(**kept), CLUSTER, SPANS).lost
    assert len(lost) == 1
    assert why in lost[0]


@pytest.mark.parametrize("offset", [10, 20])
def test_both_ends_are_still_there(offset: int) -> None:
    assert plan(saved(posts_0=offset, graph_0=7), CLUSTER, SPANS).lost == ()


def test_another_topic_of_the_same_name_is_noticed_where_identities_are_known() -> None:
    offsets = {"posts/0": 15, "graph/0": 7}
    other = Saved("c", {"posts": "id-9", "graph": "id-2"}, offsets)
    assert "made anew" in plan(other, CLUSTER, SPANS).lost[0]
    # The brokers tell no identity of `graph`, and an old state may know none.
    assert plan(Saved("c", {"posts": "id-1", "graph": "x"}, offsets), CLUSTER, SPANS).lost == ()
    assert plan(Saved("c", {"posts": ""}, {"posts/0": 15}), CLUSTER, SPANS).lost == ()


names = st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True)


texts = st.text(st.characters(codec="utf-8"), max_size=30)


@given(texts, st.dictionaries(names, texts, min_size=1, max_size=4))
def test_a_source_reads_as_it_was_written(cluster_id: str, topics: dict[str, str]) -> None:
    assert read_source(source_of(cluster_id, topics)) == (cluster_id, topics)


@pytest.mark.parametrize("source", ["", "sqlite:abc", "kafka", "kafka:"])
def test_the_source_of_another_log_is_not_ours(source: str) -> None:
    assert read_source(source) is None


def test_a_state_stays_with_its_cluster_and_its_topics() -> None:
    check_identity(saved(), "c", ["graph", "posts", "more"])
    with pytest.raises(StoreError, match="from the cluster `c`"):
        check_identity(saved(), "other", ["graph", "posts"])
    with pytest.raises(StoreError, match="`graph`, which is not among"):
        check_identity(saved(), "c", ["posts"])
