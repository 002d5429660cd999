"""Whatever is allowed as an id comes back as it was written."""

import tempfile
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xfeed import Feed

from tests.feed.worlds import follow, open_with, post

MAX_INTEGER = 2**63 - 1

texts = (
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=60)
    | st.from_regex(r"[0-9]{1,25}", fullmatch=True)
    | st.from_regex(
        r"at://did:plc:[a-z2-7]{4}/[a-z.]{1,9}/3[a-z]{1,9}\?[#&%/ ]{0,5}", fullmatch=True
    )
    | st.sampled_from(["/", "\\", '"', "'", " ", "ﬃ", "e\u0301", "é", "\u202e", "🦀", "null"])
)
integers = st.integers(0, MAX_INTEGER) | st.sampled_from([0, 1, 2**53 + 1, MAX_INTEGER])
ids = integers | texts


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    database=None,
)
@given(st.lists(st.tuples(ids, ids), min_size=1, max_size=8, unique_by=lambda pair: str(pair[0])))
def test_ids_round_trip_through_ingest_log_and_page(pairs: list[tuple[Any, Any]]) -> None:
    viewer = "the one who reads all of this"
    events = [follow(viewer, author) for _, author in pairs if str(author) != viewer]
    events += [post(post_id, author) for post_id, author in pairs]
    with tempfile.TemporaryDirectory() as directory:
        open_with(directory, *events).close()  # type: ignore[arg-type]
        with Feed.open(directory) as feed:
            page = feed.for_you(viewer, limit=20)
            assert {item.post_id: item.author_id for item in page} == {
                str(post_id): str(author) for post_id, author in pairs
            }
            for post_id, author in pairs:
                assert page.where(post_id).outcome == "selected"
                assert page.where(str(post_id)).post_id == str(post_id)
                assert feed.for_you(author).viewer_id == str(author)
