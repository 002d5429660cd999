"""What importing xfeed costs."""

import subprocess
import sys

HEAVY = ("torch", "pydantic", "polars", "typer", "rich", "numpy.random", "sqlite3")


def test_import_xfeed_loads_nothing_heavy() -> None:
    code = f"import sys, xfeed; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_a_feed_without_a_model_never_loads_torch() -> None:
    code = (
        "import sys, tempfile, xfeed\n"
        "feed = xfeed.Feed.open(tempfile.mkdtemp())\n"
        "feed.ingest([{'type': 'post', 'at_ms': 1, 'post_id': 1, 'author_id': 2}])\n"
        "print(len(feed.for_you(3)), 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["1", "False"]


def test_every_public_name_exists() -> None:
    import xfeed

    for name in xfeed.__all__:
        assert getattr(xfeed, name) is not None
