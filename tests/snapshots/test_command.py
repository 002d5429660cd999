"""`xfeed snapshot` and what `xfeed doctor` says, as a shell sees them."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result
from xfeed import Feed
from xfeed.cli.app import app

from tests.feed.worlds import open_with, post


def xfeed(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def said(*arguments: object, code: int = 0) -> Any:
    done = xfeed(*arguments, "--json")
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    open_with(tmp_path / "data", *[post(i, 7) for i in range(5)]).close()
    return tmp_path / "data"


def test_create_list_and_verify_agree(data: Path) -> None:
    assert said("snapshot", "list", "-d", data) == {"snapshots": []}
    made = said("snapshot", "create", "-d", data)
    assert made["offsets"] == {"log": 6}
    assert made["counts"]["posts"] == 5
    with Feed.open(data, mode="read") as feed:
        assert feed.state_hash() == made["state_hash"]
    assert said("snapshot", "list", "-d", data)["snapshots"] == [{**made, "problem": ""}]
    assert said("snapshot", "verify", "-d", data)["snapshots"] == [{**made, "problem": ""}]
    assert said("snapshot", "verify", made["path"])["snapshots"][0]["offsets"] == {"log": 6}
    for command in ("list", "verify"):
        text = xfeed("snapshot", command, "-d", data).stdout
        assert f"{made['path']}: log 6; 6 events, 5 posts" in text


def test_a_damaged_one_is_named_and_the_exit_code_is_1(data: Path) -> None:
    said("snapshot", "create", "-d", data)
    path = Path(said("snapshot", "create", "-d", data)["path"])
    path.write_bytes(path.read_bytes()[:-9])
    newest, older = said("snapshot", "verify", "-d", data, code=1)["snapshots"]
    assert f"`{path}`: section `end` at byte" in newest["problem"]
    assert older["problem"] == ""
    done = xfeed("snapshot", "verify", "-d", data)
    assert done.exit_code == 1
    assert "ends too early" in done.stdout
    # Only the header is read for a list, and the header is whole.
    assert [listed["problem"] for listed in said("snapshot", "list", "-d", data)["snapshots"]] == [
        "",
        "",
    ]


@pytest.mark.parametrize("command", ["create", "list", "verify"])
def test_a_directory_that_is_not_there_is_an_error_and_not_made(
    tmp_path: Path, command: str
) -> None:
    answer = said("snapshot", command, "-d", tmp_path / "nothing", code=1)
    assert answer["error"]["code"] == "no_data"
    assert not (tmp_path / "nothing").exists()


def test_verify_without_any_snapshot_is_an_error(data: Path) -> None:
    assert said("snapshot", "verify", "-d", data, code=1)["error"]["code"] == "no_snapshot"
    missing = said("snapshot", "verify", data / "none.snapshot", code=1)["snapshots"][0]
    assert "cannot be read" in missing["problem"]


def finding(data: Path) -> tuple[str, str]:
    findings = json.loads(xfeed("doctor", "-d", data, "--json").stdout)["findings"]
    (found,) = [found for found in findings if found["what"] == "snapshots"]
    return found["state"], found["detail"]


def test_doctor_tells_how_far_behind_and_what_was_passed_over(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert finding(data) == ("ok", "none yet")
    path = Path(said("snapshot", "create", "-d", data)["path"])
    assert finding(data) == ("ok", "the newest is 0 events behind")
    with Feed.open(data) as feed:
        feed.ingest([post(i, 8) for i in range(100, 121)])
    assert finding(data) == ("ok", "the newest is 21 events behind")
    monkeypatch.setenv("XFEED_SNAPSHOT__EVERY_EVENTS", "10")
    state, detail = finding(data)
    assert state == "warning"
    assert "21 events behind, one is due after 10" in detail
    path.write_bytes(b"xfeedsnp")
    state, detail = finding(data)
    assert state == "warning"
    assert f"none yet; `{path}`: section `header`" in detail
