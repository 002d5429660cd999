"""The example in docs/adapters.md works as printed."""

import re
from pathlib import Path
from typing import Any

import msgspec
from xfeed.adapters import ADAPTERS

DOCS = Path(__file__).parents[2] / "docs" / "adapters.md"


def test_the_adapter_in_the_docs_reads_a_table_of_likes(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (example,) = [block for block in blocks if "class Likes" in block]
    names: dict[str, Any] = {}
    exec(example, names)  # noqa: S102
    table = tmp_path / "likes.csv"
    table.write_text("time,user,post\n1650000000,7,at://post/3k\n", encoding="utf-8")
    (raw,) = names["Likes"]().read([table])
    assert (raw.source, raw.line) == ("likes.csv", 2)
    assert msgspec.json.decode(raw.payload) == {
        "type": "action",
        "at_ms": 1_650_000_000_000,
        "event_id": "likes:7:at://post/3k",
        "viewer_id": "7",
        "post_id": "at://post/3k",
        "action": "favorite",
    }


def test_the_docs_list_every_adapter() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert [kind.name for kind in ADAPTERS if f"\n| `{kind.name}` |" not in text] == []
