"""The native half of the Thunder bench: runs `benches/src/bin/thunder` and reads what it found."""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

from benches.python.timing import QUICK, Row, Target, Times

ROOT: Final = Path(__file__).resolve().parents[2]
MEBI: Final = 1e6

PUBLISHED: Final = "the published layout"


@cache
def program() -> str:
    """Path of the program, built now."""
    command = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "xfeed-bench"]
    command += ["--bin", "thunder", "--message-format", "json"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    executables: list[str] = [it["executable"] for it in messages if it.get("executable")]
    return executables[-1]


def native(job: str, n_authors: int, n_posts: int) -> Any:
    """What one job printed; it runs in a process of its own, so memory and threads are its own."""
    command = [program(), job, str(n_authors), str(n_posts), *(["quick"] if QUICK else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def times(found: dict[str, float]) -> Times:
    return Times(found["p50_us"], found["p99_us"])


def read_rows(found: dict[str, Any], n_posts: int) -> list[Row]:
    """Reads beside the published layout, alone and while posts come in."""
    rows: list[Row] = []
    for read in found["reads"]:
        workload = f"read, {read['followed']:,} follows, {n_posts:,} posts"
        if read["excluded"]:
            workload += f", {read['excluded']:,} excluded"
        ours, peer = times(read["ours"]), times(read["published"])
        rows.append(Row("thunder", workload, ours, peer, "µs", PUBLISHED))
    busy = found["while_ingesting"]
    rows.append(
        Row(
            "thunder",
            f"read, 1,000 follows, {n_posts:,} posts, while others come in",
            times(busy["ours"]["busy"]),
            times(busy["published"]["busy"]),
            "µs",
            f"{PUBLISHED}; it takes {busy['published']['posts_per_s']:,.0f} posts/s meanwhile,"
            f" ours {busy['ours']['posts_per_s']:,.0f}",
        )
    )
    return rows


def redis_rows(found: dict[str, Any] | None, n_posts: int) -> list[Row]:
    """Reads beside Redis; nothing where there is none."""
    if found is None:
        return []
    notes = {
        "originals": "Redis on loopback: ZREVRANGE in one pipeline, native client, same answer",
        "all": "the same, replies and reposts too; Redis applies no rule for replies",
    }
    return [
        Row(
            "thunder",
            f"read, {read['followed']:,} follows, {n_posts:,} posts, {read['wanted']}",
            times(read["ours"]),
            times(read["redis"]),
            "µs",
            notes[read["wanted"]],
        )
        for read in found["reads"]
    ]


def fill_rows(ours: dict[str, Any], published: dict[str, Any], n_posts: int) -> list[Row]:
    """Memory, the time of an insert, and snapshots."""
    snapshot = ours["snapshot"]
    size = f"{snapshot['bytes'] / MEBI:,.0f} MB"

    def row(what: str, mine: float, other: float, unit: str, note: str) -> Row:
        workload = f"{what}, {n_posts:,} posts"
        return Row("thunder", workload, Times(mine), Times(other), unit, note)

    def both(what: str, key: str, unit: str) -> Row:
        return row(what, ours[key], published[key], unit, PUBLISHED)

    plain = f"a plain copy of the same {size}"
    write, read = snapshot["write_secs"], snapshot["load_secs"]
    return [
        both("memory, resident", "bytes_per_post", "bytes/post"),
        both("memory, most while filling", "peak_bytes_per_post", "bytes/post"),
        row(
            "insert, one thread",
            MEBI / ours["posts_per_s"],
            MEBI / published["posts_per_s"],
            "µs",
            PUBLISHED,
        ),
        row("snapshot written", write, snapshot["plain_write_secs"], "s", plain),
        row("snapshot loaded", read, snapshot["plain_load_secs"], "s", plain),
    ]


def targets(
    reads: dict[int, dict[str, Any]],
    redis: dict[str, Any] | None,
    ours: dict[str, Any],
    published: dict[str, Any],
) -> list[Target]:
    """What issue and design ask for; `reads` by number of posts, few and many."""
    few, many = (reads[size] for size in sorted(reads))

    def read(found: dict[str, Any], followed: int, side: str = "ours") -> float:
        rows = (row for row in found["reads"] if not row["excluded"])
        return float(next(row[side]["p50_us"] for row in rows if row["followed"] == followed))

    busy = many["while_ingesting"]["ours"]
    snapshot = ours["snapshot"]
    found = [
        Target(
            "read, 1,000 follows: times the published layout",
            read(many, 1_000, "published") / read(many, 1_000),
            10,
        ),
        Target(
            "cost of 1,000 follows over 100, by their number",
            read(many, 1_000) / read(many, 100) / 10,
            1,
            at_most=True,
        ),
        Target(
            "cost of 5,000 follows over 1,000, by their number",
            read(many, 5_000) / read(many, 1_000) / 5,
            1,
            at_most=True,
        ),
        Target(
            "cost with ten times the posts, 1,000 follows",
            read(many, 1_000) / read(few, 1_000),
            1.5,
            at_most=True,
        ),
        Target(
            "p99 of reads while posts come in, over p99 alone",
            busy["busy"]["p99_us"] / busy["idle"]["p99_us"],
            3,
            at_most=True,
        ),
        Target("bytes per post, resident", ours["bytes_per_post"], 64, at_most=True),
        Target(
            "memory of the published layout over ours",
            published["bytes_per_post"] / ours["bytes_per_post"],
            3,
        ),
        Target("seconds to write a snapshot", snapshot["write_secs"], 3, at_most=True),
        Target("seconds to load a snapshot", snapshot["load_secs"], 2, at_most=True),
    ]
    if redis is not None:
        row = next(
            row for row in redis["reads"] if (row["followed"], row["wanted"]) == (1_000, "all")
        )
        ratio = row["redis"]["p50_us"] / row["ours"]["p50_us"]
        found.insert(1, Target("read, 1,000 follows: times Redis, both lists", ratio, 50))
    return found
