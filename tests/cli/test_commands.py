"""The command line as people and scripts use it: output, exit codes, errors."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from xfeed.phoenix.learning.train import FitReport

EVENTS = [
    {"type": "follow", "at_ms": 1_000, "user_id": "ann", "target_id": "bob"},
    {"type": "post", "at_ms": 2_000, "post_id": 7, "author_id": "bob", "text": "hello"},
    {"type": "post", "at_ms": 3_000, "post_id": 8, "author_id": "eve", "text": "bye"},
    {"type": "block", "at_ms": 4_000, "user_id": "ann", "target_id": "eve"},
]


def xfeed(
    *arguments: object, stdin: bytes = b"", **environ: str
) -> subprocess.CompletedProcess[bytes]:
    """Runs the command as its own process, as a shell would."""
    return subprocess.run(
        [sys.executable, "-c", "from xfeed.cli import main; main()", *map(str, arguments)],
        check=False,
        capture_output=True,
        input=stdin,
        timeout=110,
        env={**os.environ, "COLUMNS": "200", **environ},
    )


def lines(events: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    (tmp_path / "events.jsonl").write_bytes(lines(EVENTS))
    done = xfeed("ingest", tmp_path / "events.jsonl", "--data", directory)
    assert done.returncode == 0, done.stderr
    return directory


def test_ingest_reports_what_came_in_by_type(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl.gz").write_bytes(gzip.compress(lines(EVENTS)))
    done = xfeed("ingest", tmp_path / "events.jsonl.gz", "--data", tmp_path / "d", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["read"], report["accepted"]) == (0, 4, 4)
    assert report["by_type"] == {"block": 1, "follow": 1, "post": 2}


def test_ingest_reads_standard_input(tmp_path: Path) -> None:
    done = xfeed("ingest", "-", "--data", tmp_path / "d", "--json", stdin=lines(EVENTS))
    assert json.loads(done.stdout)["accepted"] == 4


@pytest.mark.parametrize(("option", "code"), [([], 1), (["--allow-rejects"], 0)])
def test_refused_events_decide_the_exit_code(tmp_path: Path, option: list[str], code: int) -> None:
    bad = lines([*EVENTS, {"type": "delete", "at_ms": 1, "post_id": -1}])
    done = xfeed("ingest", "-", "--data", tmp_path / "d", *option, stdin=bad)
    assert done.returncode == code
    assert b"1 refused: bad_id" in done.stdout
    (letter,) = (tmp_path / "d" / "dead_letters.jsonl").read_text().splitlines()
    assert json.loads(letter)["line"] == 5


def test_acks_come_line_by_line_and_end_with_the_last_offset(tmp_path: Path) -> None:
    done = xfeed(
        *("ingest", "-", "--data", tmp_path / "d", "--acks", "--set", "ingest_batch_len=2"),
        stdin=lines(EVENTS),
    )
    acks = [json.loads(line) for line in done.stdout.splitlines()]
    assert [ack["end_offset"] for ack in acks] == [2, 4]


def test_a_format_writes_the_settings_it_needs_only_into_a_new_directory(tmp_path: Path) -> None:
    import polars as pl

    names = "is_click is_like is_follow is_comment is_forward is_hate long_view is_profile_enter"
    row = {"user_id": 1, "video_id": 2, "author_id": 3, "time_ms": 1_650_000_000_000, "tab": 1}
    row |= dict.fromkeys(names.split(), 1) | {"play_time_ms": 5_000, "duration_ms": 9_000}
    pl.DataFrame([row]).write_parquet(tmp_path / "kuairand_tiny.parquet")
    for directory, expected in (("new", True), ("old", False)):
        if not expected:
            assert (
                xfeed("ingest", "-", "--data", tmp_path / "old", stdin=lines(EVENTS)).returncode
                == 0
            )
        command = ("ingest", tmp_path / "kuairand_tiny.parquet", "--format", "kuairand")
        done = xfeed(*command, "--data", tmp_path / directory, "--json")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / directory / "xfeed.toml").exists() is expected
    assert json.loads(xfeed("feed", 9, "--data", tmp_path / "new", "--json").stdout)["items"]


def test_the_same_request_gives_the_same_bytes_twice(data: Path) -> None:
    first, second = (xfeed("feed", "ann", "--data", data, "--json") for _ in range(2))
    assert first.returncode == 0
    assert first.stdout == second.stdout
    page = json.loads(first.stdout)
    assert [item["post_id"] for item in page["items"]] == ["7"]
    assert page["mode"] == "newest_then_popular"


def test_feed_shows_reasons_the_whole_sum_and_timings_apart(data: Path) -> None:
    done = xfeed("feed", "ann", "--data", data, "--why", 1, "--timings", NO_COLOR="1")
    text = done.stdout.decode()
    assert "hello" in text
    assert "freshness" in text
    assert "author_blocked" in text
    assert "\x1b[" not in text
    assert b" ms" in done.stderr
    assert b" ms" not in done.stdout


def test_where_says_which_rule_keeps_a_post_away(data: Path) -> None:
    done = xfeed("where", 8, "--viewer", "ann", "--data", data)
    assert done.stdout.decode().strip() == (
        "removed by social_graph: the author is blocked by the viewer"
    )
    done = xfeed("where", 7, "--viewer", "ann", "--data", data, "--json")
    assert json.loads(done.stdout)["outcome"] == "selected"


def test_config_show_tells_values_from_file_environment_and_command_line(data: Path) -> None:
    (data / "xfeed.toml").write_text("page_size = 7\n")
    done = xfeed(
        *("config", "show", "--data", data, "--json", "--set", "scoring.weights.reply=20"),
        XFEED_FILTERS__AGE__MAX_AGE_SECS="60",
    )
    shown = json.loads(done.stdout)
    assert shown["config"]["page_size"] == 7
    assert shown["config"]["filters"]["age"]["max_age_secs"] == 60
    assert shown["weights"]["reply"] == 20
    assert "filters.age.max_age_secs" in xfeed("config", "show", "--data", data).stdout.decode()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["feed", "ann", "--set", "filters.age.max_age_sec=1"], "unknown_setting"),
        (["feed", "ann", "--limit", "0"], "bad_limit"),
        (["feed", ""], "bad_id"),
        (["feed", "ann", "--set", "scoring.preset=x-2026-08-20"], "unknown_preset"),
        (["fit"], "too_little_data"),
    ],
)
def test_what_goes_wrong_is_json_too_and_exits_with_one(
    data: Path, arguments: list[str], code: str
) -> None:
    done = xfeed(*arguments, "--data", data, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == code
    plain = xfeed(*arguments, "--data", data)
    assert plain.returncode == 1
    assert f"error [{code}]" in plain.stderr.decode()
    assert not plain.stdout


def test_a_missing_directory_and_a_wrong_call_are_told_apart(tmp_path: Path) -> None:
    assert xfeed("feed", "ann", "--data", tmp_path / "nothing").returncode == 1
    assert xfeed("feed").returncode == 2
    assert xfeed("fed").returncode == 2


def test_doctor_names_what_is_missing_and_fails_only_for_problems(data: Path) -> None:
    done = xfeed("doctor", "--data", data, "--json")
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert done.returncode == 0
    assert findings["model"]["state"] == "warning"
    assert findings["log"]["detail"].startswith("4 events")
    (data / "bundles").mkdir()
    (data / "bundles" / "active").write_text("nothing-there\n")
    broken = xfeed("doctor", "--data", data)
    assert broken.returncode == 1
    assert b"nothing-there" in broken.stdout


def test_conformance_fails_for_what_it_does_not_know_unless_allowed(tmp_path: Path) -> None:
    case = {"area": "no.such", "case": "one", "input": {"x": 1}, "expected": {"y": 2}, "why": "z"}
    (tmp_path / "cases.json").write_text(json.dumps([case]))
    done = xfeed("conformance", tmp_path, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["areas"]["no.such"]["unknown"] == 1
    assert xfeed("conformance", tmp_path, "--allow-unknown").returncode == 0


def test_the_demo_never_clears_a_directory_that_is_not_its_own(data: Path) -> None:
    done = xfeed("demo", "--data", data, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "not_a_demo"
    assert (data / "events.sqlite").exists()


def test_fit_and_the_trained_feed_work_from_the_command_line(
    fitted_dir: Path, fit_report: FitReport
) -> None:
    page = json.loads(xfeed("feed", 1, "--data", fitted_dir, "--json").stdout)
    assert page["mode"] == "model"
    assert page["receipt"]["bundle_id"] == fit_report.bundle_id
    doctor = xfeed("doctor", "--data", fitted_dir)
    assert doctor.returncode == 0
    assert fit_report.bundle_id[:12].encode() in doctor.stdout


def test_the_version_is_printed() -> None:
    assert xfeed("--version").stdout.startswith(b"xfeed 0.")
