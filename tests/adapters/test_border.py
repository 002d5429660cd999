"""The border accepts every line that the package itself makes, and refuses what was cut."""

from pathlib import Path

from xfeed import _core
from xfeed.adapters import adapter
from xfeed.adapters.jsonl import MAX_LINE_LEN
from xfeed.data import CommunityConfig, community


def test_every_event_of_a_community_is_accepted() -> None:
    config = CommunityConfig(seed=5, n_people=400, n_posts=2_500, n_impressions=10_000)
    lines = list(community(config).events())
    decoded = _core.decode_events(lines, config.end_ms)
    assert decoded.rejects() == []
    assert len(decoded.positions()) == len(lines)


def test_a_line_of_the_greatest_length_is_accepted_and_a_cut_one_refused(tmp_path: Path) -> None:
    event = b'{"type":"delete","at_ms":1,"post_id":2}'
    whole = event + b" " * (MAX_LINE_LEN - len(event))
    path = tmp_path / "a.jsonl"
    path.write_bytes(whole + b"\n" + whole + b" more\n")
    lines = [raw.payload for raw in adapter("jsonl").read([path])]
    decoded = _core.decode_events(lines, None)
    assert list(decoded.positions()) == [0]
    assert [reject[0] for reject in decoded.rejects()] == [1]
